// Pictures of the pages of a built site, at two widths, light and dark, to be looked at:
//
//     node docs/site/screenshots.mjs site pictures [--pages index.html course/ ...]
//
// A page longer than 4000 pixels gives several pictures. index.html shows the beginnings of all
// pages, and so do sheet-1.png, sheet-2.png and so on. Pages of source code, which are all alike,
// are left out unless --pages names them by the beginnings of their paths.

import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { openBrowser, workOn } from "./browser.mjs";

const WIDTHS = [1280, 390];
const THEMES = ["light", "dark"];
const LONGEST = 4000; // pixels
const SOURCES = ["source/", "_modules/", "_static/"];
const A_SHEET = 4; // pages
const STYLE = `body { margin: 0; background: #888; font: 16px sans-serif }
section { display: grid; grid-template-columns: 5fr 5fr 2fr 2fr; gap: 8px; width: 1400px }
h2 { grid-column: 1 / -1; margin: 8px 8px 0; font-size: 18px }
img { width: 100%; height: 620px; object-fit: cover; object-position: top }`;

/** The pages that are wanted, by their paths in the site. */
function pagesOf(site, wanted) {
  const files = readdirSync(site, { recursive: true }).filter((file) => file.endsWith(".html"));
  const pages = files.map((file) => file.split(path.sep).join("/")).sort();
  const begins = (file, starts) => starts.some((start) => file.startsWith(start));
  return pages.filter((file) => (wanted ? begins(file, wanted) : !begins(file, SOURCES)));
}

/** Serve a folder; gives the address, and the process, which whoever calls this ends. */
function serve(folder) {
  const options = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder];
  const server = spawn("python3", options, { stdio: ["ignore", "pipe", "ignore"] });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.stdout.once("data", (line) => {
      resolve({ server, address: `http://127.0.0.1:${String(line).match(/port (\d+)/)[1]}/` });
    });
  });
}

/** Take the pictures of a page; gives the names of the first of each view. */
async function photograph(browser, address, name, out) {
  const firsts = [];
  for (const width of WIDTHS) {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    await page.goto(address + name, { waitUntil: "networkidle" });
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme });
      await page.waitForTimeout(300); // until the colours have changed
      const height = await page.evaluate(() => document.documentElement.scrollHeight);
      for (let y = 0, number = 1; y < height; y += LONGEST, number++) {
        const view = [width, theme, ...(height > LONGEST ? [number] : [])].join("-");
        const file = `${name.replaceAll("/", "--").replace(/\.html$/, "")}-${view}.png`;
        const clip = { x: 0, y, width, height: Math.min(LONGEST, height - y) };
        await page.screenshot({ path: path.join(out, file), fullPage: true, clip });
        if (y === 0) firsts.push(file);
      }
    }
    await page.close();
  }
  return firsts;
}

/** Show the beginnings of all pages side by side. */
async function makeSheets(browser, taken, out) {
  const names = [...taken.keys()].sort();
  const sheets = [];
  while (names.length) {
    const parts = names.splice(0, A_SHEET).map((name) => {
      const pictures = taken.get(name).map((file) => `<img src="${file}" alt="">`);
      return `<h2>${name}</h2>${pictures.join("")}`;
    });
    sheets.push(`<section>${parts.join("\n")}</section>`);
  }
  const file = path.resolve(out, "index.html");
  writeFileSync(file, `<!doctype html><style>${STYLE}</style>\n${sheets.join("\n")}\n`);
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  await page.goto(pathToFileURL(file).href);
  for (const [number, sheet] of (await page.locator("section").all()).entries()) {
    await sheet.screenshot({ path: path.join(out, `sheet-${number + 1}.png`) });
  }
}

/** The folders and pages that are named on the command line. */
function options() {
  const pages = { type: "string", multiple: true };
  const { values, positionals } = parseArgs({ options: { pages }, allowPositionals: true });
  const [site, out, ...more] = positionals;
  if (!out) {
    console.error("usage: node docs/site/screenshots.mjs SITE OUT [--pages PAGE ...]");
    process.exit(2);
  }
  return { site, out, wanted: values.pages && [...values.pages, ...more] };
}

const { site, out, wanted } = options();
mkdirSync(out, { recursive: true });
const { server, address } = await serve(site);
const browser = await openBrowser();
try {
  const taken = new Map();
  await workOn(pagesOf(site, wanted), async (name) => {
    taken.set(name, await photograph(browser, address, name, out));
    console.log(name);
  });
  await makeSheets(browser, taken, out);
  console.log(`${taken.size} pages: ${path.join(out, "index.html")}`);
} finally {
  await browser.close();
  server.kill();
}
