// Looks words up by the site's search. Given {site, words}; says {word, pages}: what it finds.

import { closePage, given, say, watchedPage, withBrowser } from "./watch.mjs";

const { site, words } = await given();

await withBrowser(async (browser) => {
  for (const word of words) {
    const note = (kind, text) => say({ kind, text });
    const page = await watchedPage(browser, site, note);
    await page.goto(new URL("index.html", site).href);
    await page.locator("input[name=q]:visible").first().fill(word);
    await page.keyboard.press("Enter");
    const links = page.locator("#search-results li a");
    await links.first().waitFor({ timeout: 20_000 });
    await page.locator("#search-results .search-summary").filter({ hasText: /\d/ }).waitFor();
    say({ kind: "found", word, pages: await links.evaluateAll((all) => all.map((a) => a.href)) });
    await closePage(page);
  }
});
