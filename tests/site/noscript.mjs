// Opens pages with JavaScript switched off: they have to read as a book.
// Given {site, pages}; says {page, kind: "text", text, pictures, formulas} for what is seen, and
// {page, kind, text} for faults: "control", which could do nothing, and "empty", a box without
// content.

import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";

const { site, pages } = await given();

await withBrowser((browser) =>
  workOn(pages, async (name) => {
    const note = (kind, text) => say({ page: name, kind, text });
    const page = await watchedPage(browser, site, note, { javaScriptEnabled: false });
    await page.goto(new URL(name, site).href);
    const { controls, empty, ...seen } = await page.evaluate(read);
    say({ page: name, kind: "text", ...seen });
    for (const text of controls) note("control", text);
    for (const text of empty) note("empty", text);
    await closePage(page);
  }),
);

function read() {
  const article = document.querySelector("article");
  const isSeen = (element) => element.checkVisibility() && element.getBoundingClientRect().height;
  const seen = (selector) => [...article.querySelectorAll(selector)].filter(isSeen);
  const named = ({ tagName, className }) => `${tagName.toLowerCase()}.${className}`;
  const isEmpty = (box) => !box.textContent.trim() && !box.querySelector("img, svg, canvas");
  return {
    text: article.innerText,
    pictures: seen("img").length,
    formulas: seen(".katex-display").length,
    controls: seen("button, input, select, textarea, .live-bar, .live-page").map(named),
    empty: seen("div, figure, details, pre, section, table").filter(isEmpty).map(named),
  };
}
