// Opens pages with JavaScript switched off: they have to read as a book.
// Given {site, pages}; says {page, text, formulas, controls, empty}: the words that are seen, how
// many formulas are set, buttons that could do nothing, and boxes without content.

import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";

const { site, pages } = await given();

await withBrowser((browser) =>
  workOn(pages, async (name) => {
    const note = (kind, text) => say({ page: name, kind, text });
    const page = await watchedPage(browser, site, note, { javaScriptEnabled: false });
    await page.goto(new URL(name, site).href);
    say({ page: name, kind: "read", ...(await page.evaluate(read)) });
    await closePage(page);
  }),
);

function read() {
  const article = document.querySelector("article");
  const isSeen = (element) => element.checkVisibility() && element.getBoundingClientRect().height;
  const named = (element) => `${element.tagName.toLowerCase()}.${element.className}`;
  const controls = [...article.querySelectorAll("button, input, select, textarea, [class*=live-]")];
  const boxes = article.querySelectorAll("div, figure, details, table, pre, section");
  const empty = [...boxes].filter(
    (box) => isSeen(box) && !box.textContent.trim() && !box.querySelector("img, svg, canvas"),
  );
  return {
    text: article.innerText,
    formulas: [...article.querySelectorAll(".katex-display")].filter(isSeen).length,
    controls: controls.filter(isSeen).map(named),
    empty: empty.map(named),
  };
}
