// Chromium without a window, for what looks at the built site: its tests and its screenshots.

import { chromium } from "playwright-core";

const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost", // no other host
];

/**
 * Start Chromium.
 * @param {string} executablePath the program; CHROMIUM names it, else it is Debian's
 * @returns {Promise<import("playwright-core").Browser>} the browser; whoever starts it closes it
 */
export function openBrowser(executablePath = process.env.CHROMIUM || "/usr/bin/chromium") {
  return chromium.launch({ executablePath, args: QUIET });
}

/**
 * Work on items, some at a time.
 * @template T
 * @param {Iterable<T>} items what is worked on, in order
 * @param {(item: T) => Promise<void>} work
 * @param {number} [count] how many at a time: two, for the two cores that a small machine has
 */
export async function workOn(items, work, count = 2) {
  const waiting = [...items];
  async function next() {
    while (waiting.length) await work(waiting.shift());
  }
  await Promise.all(Array.from({ length: count }, next));
}
