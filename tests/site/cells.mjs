// Runs every cell of pages, as a reader does who presses "Run the page".
// Given {site, pages, folder, seconds}; says for each cell {page, cell, state, tags, text, error,
// built, picture}: what the worker shows, what the build shows, a PNG of the picture in `folder`.

import { writeFileSync } from "node:fs";
import path from "node:path";
import { lookAtAll } from "./look.mjs";
import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";

const { site, pages, folder, seconds } = await given();

await withBrowser((browser) => workOn(pages, (name) => runPage(browser, name)));

async function runPage(browser, name) {
  const note = (kind, text, more = {}) => say({ page: name, kind, ...more, text });
  const page = await watchedPage(browser, site, note, { viewport: { width: 1280, height: 900 } });
  const start = performance.now();
  await page.goto(new URL(name, site).href);
  try {
    await page.locator(".live-run-all").click();
    await page.waitForFunction(isOver, null, { timeout: seconds * 1000, polling: 200 });
  } catch (error) {
    note("stuck", error.message);
  }
  const cells = await page.locator(".cell").all();
  for (const [number, cell] of cells.entries()) {
    const picture = await photograph(cell, `${path.basename(name, ".html")}-${number}.png`);
    say({ page: name, kind: "cell", cell: number, picture, ...(await cell.evaluate(shown)) });
  }
  await lookAtAll(page, note);
  note("ran", `${((performance.now() - start) / 1000).toFixed(1)} s`);
  await closePage(page);
}

function isOver() {
  const states = [...document.querySelectorAll(".cell")].map((cell) => cell.dataset.state);
  const isWorking = states.some((state) => state === "waiting" || state === "running");
  return !isWorking && states.some((state) => state === "done" || state === "failed");
}

/** The picture that a cell shows, as a PNG file of the width of the page's own; null if none. */
async function photograph(cell, name) {
  const image = cell.locator(".live-picture img");
  if (!(await image.isVisible())) return null;
  const [, png] = (await image.evaluate(painted)).split(",");
  writeFileSync(path.join(folder, name), Buffer.from(png, "base64"));
  return name;
}

function painted(image) {
  const own = image.closest(".cell").nextElementSibling?.querySelector("img");
  const canvas = document.createElement("canvas");
  canvas.width = own?.naturalWidth || image.naturalWidth;
  canvas.height = Math.round((canvas.width * image.naturalHeight) / image.naturalWidth);
  const paper = canvas.getContext("2d");
  paper.fillStyle = "white";
  paper.fillRect(0, 0, canvas.width, canvas.height);
  paper.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

/** What a cell shows, and what the build shows behind it. */
function shown(cell) {
  const read = (selector) => cell.querySelector(selector)?.textContent ?? "";
  const built = { text: "", picture: null };
  let behind = cell.nextElementSibling;
  if (behind?.matches(".output-of-cell")) {
    built.text = behind.querySelector("pre").textContent;
    behind = behind.nextElementSibling;
  }
  if (behind?.matches(".picture-of-cell")) {
    built.picture = behind.querySelector("img").getAttribute("src");
  }
  const tags = [...cell.classList].filter((name) => name.startsWith("tag_"));
  const { state } = cell.dataset;
  return { state, tags, text: read(".live-text"), error: read(".live-error"), built };
}
