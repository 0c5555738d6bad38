// Opens every page at two widths, light and dark, and says what is wrong with it.
// Given {site, pages}; says {page, kind, width, theme, text} for each fault, and for each time that
// a page was opened {page, kind: "opened", width, seconds}.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { closePage, given, say, watchedPage, withBrowser, workOn } from "./watch.mjs";
import { faultsOfImages, faultsOfWidth, formulasUnderTags, linesCut } from "./look.mjs";

const THEMES = ["light", "dark"];
const WIDTHS = [1280, 390];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
const need = createRequire(new URL("../../docs/site/package.json", import.meta.url));
const AXE = readFileSync(need.resolve("axe-core/axe.min.js"), "utf-8");

const { site, pages } = await given();

await withBrowser((browser) =>
  workOn(pages, async (name) => {
    for (const width of WIDTHS) await look(browser, name, width);
  }),
);

async function look(browser, name, width) {
  let theme = THEMES[0];
  const note = (kind, text) => say({ page: name, kind, width, theme, text });
  const viewport = { width, height: width > 500 ? 800 : 844 };
  const page = await watchedPage(browser, site, note, { viewport, colorScheme: theme });
  await page.goto(new URL(name, site).href, { waitUntil: "load" });
  say({ page: name, kind: "opened", width, seconds: await page.evaluate(secondsToRead) });
  const checks = { width: faultsOfWidth, code: linesCut, tag: formulasUnderTags };
  for (const [kind, check] of Object.entries({ ...checks, image: faultsOfImages })) {
    for (const text of await page.evaluate(check)) note(kind, text);
  }
  await page.addStyleTag({ content: "* { transition: none !important; animation: none !important }" });
  await page.evaluate(AXE);
  for (theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    for (const text of await page.evaluate(violations, RULES)) note("axe", text);
  }
  await closePage(page);
}

function secondsToRead() {
  return performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd / 1000;
}

async function violations(values) {
  const runOnly = { type: "tag", values };
  const found = await window.axe.run(document, { runOnly, resultTypes: ["violations"] });
  return found.violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 3).map(({ target, any }) => {
      return `${target.join(" ")}: ${any[0]?.message ?? ""}`;
    });
    return `${id} (${help}), ${nodes.length} times: ${places.join("; ")}`;
  });
}
