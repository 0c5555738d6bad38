// Tries what must not harm a page: an endless loop, a reload, an error, Python that does not come.
// Given {site, page, missing}; says {step, ...} for each thing tried, and {kind, text} for faults.

import { closePage, given, say, watchedPage, withBrowser, writeCode } from "./watch.mjs";

const { site, page: name, missing } = await given();
const IN_WORKER = { timeout: 120_000 };

await withBrowser(async (browser) => {
  const note = (kind, text) => say({ kind, text });
  const page = await watchedPage(browser, site, note);
  await page.goto(new URL(name, site).href);
  for (const step of [stopALoop, runAgain, seeAnError, reload, reset]) {
    say({ step: step.name, ...(await step(page)) });
  }
  await closePage(page);
  const other = await watchedPage(browser, site, () => {});
  await other.route(`**/${missing}`, (route) => route.fulfill({ status: 404 }));
  await other.goto(new URL(name, site).href);
  say({ step: "withoutPython", ...(await withoutPython(other)) });
  await closePage(other);
});

function cellOf(page, number) {
  return page.locator(".cell").nth(number);
}

/** Press Run, and wait until the cell is in one of some states. */
async function run(page, number, ...states) {
  await cellOf(page, number).locator(".live-run").click();
  await settled(page, number, ...states);
}

async function settled(page, number, ...states) {
  const wanted = states.map((state) => `[data-state="${state}"]`).join(", ");
  await cellOf(page, number).and(page.locator(wanted)).waitFor(IN_WORKER);
}

async function read(page, number) {
  return cellOf(page, number).evaluate((cell) => {
    const seen = (selector) => {
      const found = [...cell.querySelectorAll(selector)].filter((part) => part.checkVisibility());
      return found.map((part) => part.value ?? part.textContent).join("\n");
    };
    const behind = cell.nextElementSibling;
    return {
      state: cell.dataset.state,
      code: seen(".cm-line, textarea, .live-code").trim(),
      text: seen(".live-text"),
      error: seen(".live-error"),
      status: seen(".live-status"),
      built: behind.matches(".output-of-cell") && behind.checkVisibility(),
    };
  });
}

async function stopALoop(page) {
  await writeCode(cellOf(page, 1), "while True:\n    pass");
  await run(page, 1, "running");
  await page.waitForTimeout(1000);
  const start = performance.now();
  await cellOf(page, 1).locator(".live-stop").click();
  await page.waitForFunction(
    () => document.querySelectorAll(".cell")[1].dataset.state !== "running",
    null,
    IN_WORKER,
  );
  return { seconds: (performance.now() - start) / 1000, ...(await read(page, 1)) };
}

/** After Stop all is forgotten: Run brings back what stands above. */
async function runAgain(page) {
  await cellOf(page, 1).locator(".live-reset").click();
  await run(page, 2, "done", "failed");
  const above = [await read(page, 0), await read(page, 1)];
  return { above, ...(await read(page, 2)) };
}

async function seeAnError(page) {
  await writeCode(cellOf(page, 1), "one = 1\nzero = 0\none / zero\n");
  await run(page, 1, "failed", "done");
  return read(page, 1);
}

async function reload(page) {
  await writeCode(cellOf(page, 1), 'print("kept by", 40 + 2)');
  await page.waitForTimeout(1500);
  await page.reload();
  await page.locator(".live-run").nth(1).waitFor();
  const kept = await read(page, 1);
  await run(page, 1, "done", "failed");
  return { kept: kept.code, ...(await read(page, 1)) };
}

async function reset(page) {
  await cellOf(page, 1).locator(".live-reset").click();
  return read(page, 1);
}

async function withoutPython(page) {
  await run(page, 0, "failed", "idle");
  await page.waitForTimeout(500);
  const status = await page.locator(".live-python").first().textContent();
  const cell = await read(page, 0);
  return { ...cell, said: [status, cell.status, cell.error].join("\n") };
}
