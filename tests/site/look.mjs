// What can be seen to be wrong with a page, as it is now.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
const COLOURS = "color-contrast";
const CHECKS = { width: tooWide, code: linesCut, tag: formulasUnderTags, image: faultsOfImages };
const STILL = "* { transition: none !important; animation: none !important }";
const need = createRequire(new URL("../../docs/site/package.json", import.meta.url));
const AXE = readFileSync(need.resolve("axe-core/axe.min.js"), "utf-8");

/**
 * Look at a page at the width that its window has.
 * @param {import("playwright-core").Page} page
 * @param {(kind: string, text: string, more?: object) => void} note told each fault
 * @param {?string[]} themes in which axe looks at colours, for most of its time; null: no axe
 */
export async function look(page, note, themes) {
  for (const [kind, check] of Object.entries(CHECKS)) {
    for (const text of await page.evaluate(check)) note(kind, text);
  }
  if (!themes) return;
  await page.addStyleTag({ content: STILL }); // colours on their way from one theme to the other
  await page.evaluate(AXE);
  await page.evaluate(shorten);
  const all = { runOnly: { type: "tag", values: RULES }, rules: { [COLOURS]: { enabled: false } } };
  for (const text of await page.evaluate(violations, all)) note("axe", text);
  for (const theme of themes) {
    await page.emulateMedia({ colorScheme: theme });
    const colours = { runOnly: { type: "rule", values: [COLOURS] } };
    for (const text of await page.evaluate(violations, colours)) note("axe", text, { theme });
  }
  await page.evaluate(restoreFormulas);
}

/**
 * Look at a page at some widths.
 * @param {[number, ?string[]][]} [views] widths with themes; usually both widths, since a narrow
 *   page has the colours of a wide one
 */
export async function lookAtAll(page, note, views = [[1280, ["light", "dark"]], [390, []]]) {
  for (const [width, themes] of views) {
    await page.setViewportSize({ width, height: 800 });
    await page.evaluate(nextFrame); // for what follows the size of the window
    await look(page, (kind, text, more) => note(kind, text, { width, ...more }), themes);
  }
}

// What follows runs in the page.

function nextFrame() {
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}

/**
 * Leave out, for axe's sake, what there is more of in the same colours: of a formula all but one
 * letter, and of each kind of word in code all but three.
 */
function shorten() {
  const formulas = [...document.querySelectorAll(".katex")];
  window.formulas = formulas.map((formula) => [formula, [...formula.childNodes]]);
  for (const formula of formulas) formula.replaceChildren("x");
  const seen = {};
  for (const word of document.querySelectorAll(".highlight pre span[class]")) {
    const kind = `${word.closest(".highlight").parentElement.className} ${word.className}`;
    seen[kind] = (seen[kind] ?? 0) + 1;
    if (seen[kind] > 3) word.replaceWith(...word.childNodes);
  }
}

function restoreFormulas() {
  for (const [formula, parts] of window.formulas) formula.replaceChildren(...parts);
}

// Each of these functions lists faults of one kind.

async function violations(options) {
  const found = await window.axe.run(document, { ...options, resultTypes: ["violations"] });
  return found.violations.map(({ id, help, nodes }) => {
    const places = nodes.slice(0, 3).map(({ target, any }) => {
      return `${target.join(" ")}: ${any[0]?.message ?? ""}`;
    });
    return `${id} (${help}), ${nodes.length} times: ${places.join("; ")}`;
  });
}

/** What makes a page wider than its window. */
function tooWide() {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    const { right, width } = element.getBoundingClientRect();
    return width > 0 && right > room + 1 && !isInScrollingBox(element);
  });
  const inner = wide.find((element) => !wide.some((other) => element.contains(other.parentNode)));
  const place = inner && `${inner.tagName.toLowerCase()}.${inner.className}: ${inner.textContent}`;
  return [`${document.documentElement.scrollWidth} pixels in ${room}: ${place?.slice(0, 120)}`];

  function isInScrollingBox(element) {
    for (let box = element.parentElement; box !== document.body; box = box.parentElement) {
      if (getComputedStyle(box).overflowX !== "visible") return true;
    }
    return false;
  }
}

/** At a wide window: lines of code of at most 100 columns that do not fit into their box. */
function linesCut() {
  if (window.innerWidth < 1000) return [];
  const faults = [];
  for (const block of document.querySelectorAll("article pre")) {
    if (block.scrollWidth <= block.clientWidth + 1 || !block.clientWidth) continue;
    const columns = columnsOf(block);
    const cut = block.textContent.split("\n").filter((x) => x.length > columns && x.length <= 100);
    faults.push(...cut.map((line) => `${columns} columns fit, not: ${line}`));
  }
  return faults;

  function columnsOf(block) {
    const ruler = document.createElement("span");
    ruler.textContent = "x".repeat(100);
    ruler.style.position = "absolute";
    block.append(ruler);
    const width = ruler.getBoundingClientRect().width / 100;
    ruler.remove();
    const { paddingLeft, paddingRight } = getComputedStyle(block);
    const room = block.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    return Math.floor(room / width + 0.01);
  }
}

/** Formulas on which their own number is printed. */
function formulasUnderTags() {
  return [...document.querySelectorAll(".katex-html .tag")].flatMap((tag) => {
    const box = tag.getBoundingClientRect();
    const formula = tag.closest(".katex-html");
    const under = [...formula.querySelectorAll(".base")].some((base) => {
      const other = base.getBoundingClientRect();
      return (
        Math.min(box.right, other.right) - Math.max(box.left, other.left) > 1 &&
        Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top) > 1
      );
    });
    return under ? [`${tag.textContent} is printed over ${formula.textContent.slice(0, 60)}`] : [];
  });
}

/** Pictures that are not there, and pictures that say nothing to those who do not see them. */
function faultsOfImages() {
  return [...document.querySelectorAll("article img")].flatMap((image) => {
    const faults = [];
    if (!image.alt.trim()) faults.push(`no alternative text: ${image.src}`);
    if (image.complete && !image.naturalWidth) faults.push(`cannot be shown: ${image.src}`);
    return faults;
  });
}
