// Answers exercises in their pages, as a learner does.
// Given {site, answers: [{page, number, code: [...]}]}; says {number, code, state, text} for each
// answer that it has checked, and {page, kind, text} for faults.

import { closePage, given, say, watchedPage, withBrowser, workOn, writeCode } from "./watch.mjs";

const { site, answers } = await given();
const pages = new Set(answers.map(({ page }) => page));

await withBrowser((browser) => workOn(pages, (name) => answer(browser, name)));

async function answer(browser, name) {
  const note = (kind, text) => say({ page: name, kind, text });
  const page = await watchedPage(browser, site, note);
  await page.goto(new URL(name, site).href);
  for (const { number, code } of answers.filter((each) => each.page === name)) {
    const box = page.locator(`.exercise[data-number="${number}"]`);
    await box.locator("summary").first().click();
    for (const text of code) {
      await writeCode(box, text);
      await box.locator(".live-check").click();
      say({ number, code: text, ...(await checked(box)) });
    }
  }
  await closePage(page);
}

async function checked(box) {
  const result = box.locator(".exercise-result");
  await result.filter({ hasText: /\S/ }).waitFor({ timeout: 120_000 });
  return { state: await box.getAttribute("data-state"), text: await result.textContent() };
}
