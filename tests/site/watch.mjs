// What the scripts beside this one share: a browser whose pages are watched, and their report.

import { openBrowser } from "../../docs/site/browser.mjs";

const LEFT = "net::ERR_ABORTED"; // what a page was loading when it was left is no fault

export { workOn } from "../../docs/site/browser.mjs";

/**
 * Say one fact, as a line of JSON; tests/test_site.py judges it.
 * @param {object} fact
 */
export function say(fact) {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

/**
 * Run a script's work with a browser, which is closed at the end.
 * @param {(browser: import("playwright-core").Browser) => Promise<void>} work
 */
export async function withBrowser(work) {
  const browser = await openBrowser();
  try {
    await work(browser);
  } finally {
    await browser.close();
  }
}

/**
 * Open an empty page in a context of its own, as a new reader does, and watch it.
 * @param {import("playwright-core").Browser} browser
 * @param {string} site the address of the site
 * @param {(kind: string, text: string) => void} note told each fault
 * @param {import("playwright-core").BrowserContextOptions} [options]
 * @returns {Promise<import("playwright-core").Page>} close it by `closePage`
 */
export async function watchedPage(browser, site, note, options = {}) {
  const context = await browser.newContext(options);
  return watch(await context.newPage(), site, note);
}

/**
 * Note every fault of a page: what it logs as an error or raises, requests that fail, and requests
 * to another host, which browser.mjs does not let through. Parameters as above.
 */
export function watch(page, site, note) {
  const { origin } = new URL(site);
  const isOurs = (request) => {
    const url = new URL(request.url());
    return !url.protocol.startsWith("http") || url.origin === origin;
  };
  page.on("request", (request) => isOurs(request) || note("host", request.url()));
  page.on("console", (message) => {
    if (message.type() === "error") note("console", `${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => note("error", error.stack ?? String(error)));
  page.on("response", (response) => {
    if (response.status() >= 400) note("request", `${response.status()} ${response.url()}`);
  });
  page.on("requestfailed", (request) => {
    const why = request.failure()?.errorText;
    if (isOurs(request) && why !== LEFT) note("request", `${why} ${request.url()}`);
  });
  return page;
}

/** Close a page and all that belongs to it. */
export function closePage(page) {
  return page.context().close();
}

/**
 * Write code into the editor of a cell or an exercise, in the place of what stands there.
 * @param {import("playwright-core").Locator} box the cell or the exercise
 * @param {string} code
 */
export async function writeCode(box, code) {
  const editor = box.locator(".cm-content, textarea").first();
  if (!(await editor.isVisible())) await box.locator(".live-code").click();
  await editor.click();
  await editor.press("ControlOrMeta+a");
  await box.page().keyboard.insertText(code);
}

/** What stands on standard input, as JSON: what the script is to do. */
export async function given() {
  let text = "";
  for await (const part of process.stdin) text += part;
  return JSON.parse(text);
}
