// The pictures of docs/walkthrough.md, taken of a real server with the real model.
//
//   node walkthrough.mjs MISORA CHROMIUM docs/images
//
// A prompt is refused, its reasons are read and contested, a moderator looks at it, the appeal is right, and the clip is made. It fails if one
// of these is not as the page tells it.
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { start } from "./server.mjs";

const [misora, browserPath, folder] = process.argv.slice(2);
const PASSWORD = "a long enough password";
const PROMPT = "Pikachu the paper dog moves left on the beach";
const MOST_BYTES = 150_000;
const VIEW = { viewport: { width: 760, height: 900 }, colorScheme: "light", locale: "en-GB", reducedMotion: "reduce" };

async function picture(page, name) {
  const path = join(folder, `walkthrough-${name}.jpg`);
  // The main part of a page says it all; the bar of a phone would lie over it.
  await page.evaluate(() => document.querySelectorAll("body nav").forEach((bar) => { bar.style.visibility = "hidden"; }));
  await page.locator("main").screenshot({ path, type: "jpeg", quality: 82 });
  const { size } = await stat(path);
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes`);
  console.log(`  ${path}: ${size} bytes`);
}

async function signUp(page, base, email) {
  await page.goto(`${base}/sign-up`);
  await page.fill("#email", email);
  await page.fill("#password", PASSWORD);
  await page.click("main button.act");
  await page.waitForLoadState("load");
}

async function ask(page, base) {
  await page.goto(`${base}/make`);
  await page.fill("#prompt", PROMPT);
  await page.click("form[data-ask] button.act");
}

async function walk(browser, link, base) {
  const admin = await (await browser.newContext(VIEW)).newPage();
  await admin.goto(link);
  await admin.fill("#email", "admin@example.org");
  await admin.fill("#password", PASSWORD);
  await admin.click("main button.act");
  await admin.waitForURL(`${base}/`);

  const page = await (await browser.newContext(VIEW)).newPage();
  await signUp(page, base, "mika@example.org");
  await ask(page, base);
  await page.waitForSelector("text=Nothing was charged");
  await picture(page, "refused");

  await page.click("main a[href*='/account/decisions/dec_']");
  await page.waitForSelector("text=A program, without a person");
  const decision = page.url();
  await picture(page, "decision");

  await page.fill("#text", "Pikachu is what my dog is called. He is made of brown paper.");
  await page.click("form[action$='/appeal'] button.act");
  await page.waitForSelector("text=Waits for an answer");
  await admin.goto(`${base}/moderation`);
  await admin.click("a[href^='/moderation/appeals/']");
  await admin.waitForSelector("text=Pikachu is what my dog is called.");
  await admin.fill("#answer", "A dog may be called that. You are right.");
  await picture(admin, "review");
  await admin.click("button[value=overturned]");
  await admin.waitForURL(`${base}/moderation`);

  await page.goto(decision);
  await page.waitForSelector("text=You were right");
  await picture(page, "appeal-won");

  await ask(page, base);
  await page.waitForURL(/\/clips\/video_/);
  await page.waitForSelector(".player video", { timeout: 600_000 });
  await page.waitForFunction(() => document.querySelector(".player video").readyState >= 2);
  await picture(page, "made");
}

const home = await mkdtemp(join(tmpdir(), "misora-walkthrough."));
const { server, link, base } = await start(misora, home);
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
try {
  await walk(browser, link, base);
} finally {
  await browser.close();
  server.kill("SIGTERM");
  await rm(home, { recursive: true, force: true, maxRetries: 5 });
}
