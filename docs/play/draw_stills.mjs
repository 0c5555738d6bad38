// Draw the still pictures of the things to play with: the things themselves, at a telling moment.
//
//   node docs/play/draw_stills.mjs http://127.0.0.1:8000 backward palindromes
//
// draws these from a built site that is served there, into docs/play/pictures.

import { fileURLToPath } from "node:url";

import { openBrowser } from "../site/browser.mjs";

const MOMENTS = {
  async backward(page) {
    await page.click("text=Last");
  },
  async palindromes(page) {
    await page.check("text=a plain RNN beside it");
    await page.click("text=Train");
    await page.waitForFunction(() => {
      const text = document.querySelector("[data-read=accuracy]").textContent;
      return Number.parseFloat(text) >= 99;
    });
    await page.click("text=Pause");
    await page.waitForSelector("text=sorted anew");
  },
  async gan(page) {
    await page.getByLabel("Try").selectOption("collapse");
    await page.getByLabel("Show the best D").check();
    await page.getByLabel("Rounds per picture").selectOption("20");
    await page.click("text=Run");
    await page.waitForFunction(() => {
      return Number(document.querySelector("[data-read=round]").textContent) >= 280;
    });
    await page.click("text=Pause");
    await page.waitForSelector("text=After 300 rounds");
    return ".play-live figure";
  },
  async latent(page) {
    await page.getByRole("button", { name: "Is it a copy?" }).click();
    await page.waitForSelector(".play-latent-nearest canvas");
  },
};

const [site, ...names] = process.argv.slice(2);
const browser = await openBrowser();
for (const name of names) {
  const page = await browser.newPage({
    viewport: { width: 1280, height: 1000 },
    deviceScaleFactor: 1.5,
    reducedMotion: "reduce",
  });
  page.setDefaultTimeout(300_000);
  await page.goto(`${site}/play/${name}.html`);
  await page.click("text=Start");
  await page.waitForSelector(".play-live");
  const part = (await MOMENTS[name](page)) ?? ".play-live";
  await page.mouse.move(0, 0);
  const path = fileURLToPath(new URL(`pictures/${name}.png`, import.meta.url));
  await page.locator(part).first().screenshot({ path });
  await page.close();
}
await browser.close();
