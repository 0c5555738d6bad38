// Drives a page by keys alone, and reads what it shows.
// Given {site, plays: [{page, keys}]}; a key is ["to", selector] (Tab until it has the focus),
// ["press", key, times], ["type", text], ["until", name, pattern], which waits for what can be
// read, or ["read", name], which says {page, read: name, text}. Says {page, kind, text} for faults.

import { lookAtAll } from "./look.mjs";
import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";

const { site, plays } = await given();
const MOST_TABS = 300;

function reading(page, name) {
  return page.locator(`[data-read="${name}"]`).first();
}

const ACTIONS = {
  async to(page, selector) {
    const target = page.locator(selector).first();
    await target.waitFor();
    for (let tabs = 0; tabs < MOST_TABS; tabs++) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await page.keyboard.press("Tab");
    }
    throw new Error(`${MOST_TABS} times Tab do not lead to ${selector}`);
  },
  async press(page, key, times = 1) {
    for (let count = 0; count < times; count++) await page.keyboard.press(key);
  },
  async type(page, text) {
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.type(text);
  },
  async until(page, name, pattern) {
    await reading(page, name).filter({ hasText: new RegExp(pattern) }).waitFor();
  },
  async read(page, name) {
    return { read: name, text: await reading(page, name).textContent() };
  },
};

await withBrowser((browser) => workOn(plays, (play) => drive(browser, play)));

async function drive(browser, { page: name, keys }) {
  const note = (kind, text, more = {}) => say({ page: name, kind, ...more, text });
  const page = await watchedPage(browser, site, note, { viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(120_000);
  await page.goto(new URL(name, site).href);
  try {
    for (const [what, ...values] of keys) {
      const told = await ACTIONS[what](page, ...values);
      if (told) say({ page: name, ...told });
    }
  } catch (error) {
    note("stuck", error.message);
  }
  await lookAtAll(page, note);
  await closePage(page);
}
