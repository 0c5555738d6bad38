// Opens pages, looks at them at some widths, in one theme after the other, and says what is wrong.
// Given {site, views: [[page, [[width, themes], ...]]]}, with the themes as in look.mjs; says
// {page, kind, width, theme, text} for each fault, and {page, kind: "opened", seconds, loaded}: the
// files that it loads. What pages share, the browser may have from the page before.

import { lookAtAll } from "./look.mjs";
import { given, say, watch, withBrowser, workOn } from "./watch.mjs";

const { site, views } = await given();

await withBrowser(async (browser) => {
  const context = await browser.newContext();
  await workOn(views, (view) => open(context, ...view));
});

async function open(context, name, widths) {
  const note = (kind, text, more = {}) => say({ page: name, kind, ...more, text });
  const page = watch(await context.newPage(), site, note);
  await page.setViewportSize({ width: widths[0][0], height: 800 });
  const loaded = [];
  page.on("response", (response) => loaded.push(response.url()));
  await page.goto(new URL(name, site).href, { waitUntil: "load" });
  const seconds = await page.evaluate(secondsToRead);
  await lookAtAll(page, note, widths);
  say({ page: name, kind: "opened", seconds, loaded });
  await page.close();
}

function secondsToRead() {
  return performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd / 1000;
}
