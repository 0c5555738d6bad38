// Opens pages at a width, in one theme after the other, and says what is wrong with them.
// Given {site, views: [[page, width, themes]]}; says {page, kind, width, theme, text} for each
// fault, and for each view {page, kind: "opened", width, seconds, loaded}: the files that it loads.

import { look } from "./look.mjs";
import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";

const { site, views } = await given();

await withBrowser((browser) => workOn(views, (view) => open(browser, ...view)));

async function open(browser, name, width, themes) {
  const note = (kind, text, more = {}) => say({ page: name, kind, width, ...more, text });
  const page = await watchedPage(browser, site, note, { viewport: { width, height: 800 } });
  const loaded = [];
  page.on("response", (response) => loaded.push(response.url()));
  await page.goto(new URL(name, site).href, { waitUntil: "load" });
  const seconds = await page.evaluate(secondsToRead);
  say({ page: name, kind: "opened", width, seconds, loaded });
  await look(page, note, themes);
  await closePage(page);
}

function secondsToRead() {
  return performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd / 1000;
}
