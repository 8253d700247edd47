// The newcomer's five minutes, and every page, in a real browser against a real server with the real model.
//
//   node walk.mjs MISORA CHROMIUM FOLDER
//
// starts `MISORA serve` in a temporary folder, walks through the app, writes a picture of every page for phones and desktops, by day
// and by night, into FOLDER, and fails if something is not as it should be: an error in the console, a request to elsewhere, anything
// that axe finds serious, a page that is too large.
import { mkdtemp, mkdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { start } from "./server.mjs";

const [misora, browserPath, folder] = process.argv.slice(2);
const PASSWORD = "a long enough password";
const FIRST_PAGE_BYTES = 150_000;
const SCRIPT_BYTES = 40_000;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const complaints = [];
const complain = (words) => { complaints.push(words); console.log(`  ! ${words}`); };
const step = (words) => console.log(`  ${words}`);

// A page that notes whatever should not happen.
async function open(context, base) {
  const page = await context.newPage();
  page.on("console", (message) => {
    const expected = /status of (400|401|403|404)/.test(message.text());
    if (message.type() === "error" && !expected) complain(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => complain(`${page.url()}: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(base) && !url.startsWith("data:") && !url.startsWith("blob:")) complain(`a request to elsewhere: ${url}`);
  });
  return page;
}

async function judge(page, name) {
  // Playwright's own evaluation is not bound by the page's policy.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
    const places = violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary?.split("\n")[1] ?? ""}`);
    complain(`${name}: axe, ${violation.id}: ${places.join("; ")}`);
  }
}

const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 860 } };

// Every address in four ways of looking at it.
async function picture(browser, base, cookies, pages, language = "en-GB") {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport, colorScheme, locale: language, hasTouch: size === "phone", reducedMotion: "reduce" });
      await context.addCookies(cookies);
      const page = await open(context, base);
      for (const [name, path] of pages) {
        await page.goto(base + path, { waitUntil: "load" });
        await page.waitForTimeout(150);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        if (wide > 1) complain(`${name}, ${size}: the page is ${wide} px too wide`);
        await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.png`) });
        await judge(page, `${name}, ${size}, ${colorScheme}`);
      }
      await context.close();
    }
  }
}

async function setUp(page, link, base) {
  await page.goto(link);
  await page.fill("#email", "admin@example.org");
  await page.fill("#password", PASSWORD);
  await page.click("main button.act");
  await page.waitForURL(`${base}/`);
}

// A new installation that is left to itself: it makes clips, and shows them.
async function firstStart(browser) {
  step("a first start is not empty");
  const home = await mkdtemp(join(tmpdir(), "misora-browser."));
  const { server, link, base } = await start(misora, home, { MISORA_FIRST_CLIPS: "true" });
  try {
    const context = await browser.newContext({ viewport: SIZES.phone, hasTouch: true });
    const page = await open(context, base);
    await setUp(page, link, base);
    let shown = 0;
    for (let round = 0; round < 150 && shown === 0; round += 1) {
      await page.waitForTimeout(2000);
      await page.goto(`${base}/@misora`);
      shown = await page.locator("a[href^='/p/post_']").count();
    }
    if (shown === 0) complain("after five minutes there is no clip of the installation's own");
    await page.goto(base);
    await page.waitForSelector("article.post");
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(folder, "first-start-phone-light.png") });
    await judge(page, "first start, phone, light");
    await context.close();
  } finally {
    server.kill("SIGTERM");
    await rm(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

// A browser whose camera and microphone are made up: it sees something that moves and hears beeps.
function withCamera() {
  const args = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
  return chromium.launch({ executablePath: browserPath, args });
}

// Someone new with a profile, in a browser with a camera.
async function personWithCamera(browser, base, handle) {
  const context = await browser.newContext({ viewport: SIZES.phone, hasTouch: true, permissions: ["camera", "microphone"] });
  const page = await open(context, base);
  await page.goto(`${base}/sign-up`);
  await page.fill("#email", `${handle}@example.org`);
  await page.fill("#password", PASSWORD);
  await page.click("main button.act");
  await page.waitForLoadState("load");
  await page.evaluate((name) => fetch("/account/profile", { method: "POST", body: new URLSearchParams({ handle: name, display_name: name }) }), handle);
  return page;
}

async function beginEnrolment(page, base) {
  await page.goto(`${base}/account/likeness`);
  await page.fill("#born", "1990-04-01");
  for (const name of ["adult", "myself", "agree"]) await page.check(`input[name=${name}]`);
  await page.click("form[action='/account/likeness/begin'] button.act");
  await page.waitForURL(`${base}/account/likeness/capture`);
  return page.getAttribute("[data-capture]", "data-capture");
}

async function recordEnrolment(page) {
  await page.click("[data-start]");
  await page.waitForSelector("[data-stop]:not([hidden]):not([disabled])", { timeout: 30_000 });
  await page.waitForTimeout(1500);
  await page.click("[data-stop]");
}

// A likeness: enrolled, lent, used, seen, withdrawn; a photo and a used challenge are refused.
async function likeness(base, admin) {
  const browser = await withCamera();
  try {
    step("a still picture in place of a camera is refused");
    const photo = await personWithCamera(browser, base, "photo");
    await photo.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = async () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
        const brush = canvas.getContext("2d");
        const draw = () => { brush.fillStyle = "#c8a080"; brush.fillRect(0, 0, 640, 480); brush.fillStyle = "#402010"; brush.fillRect(220, 60, 200, 260); };
        draw();
        setInterval(draw, 100);
        const sound = new AudioContext();
        const tone = sound.createOscillator();
        const out = sound.createMediaStreamDestination();
        tone.connect(out);
        tone.start();
        return new MediaStream([...canvas.captureStream(10).getTracks(), ...out.stream.getTracks()]);
      };
    });
    await beginEnrolment(photo, base);
    await recordEnrolment(photo);
    await photo.waitForSelector("text=A picture is not a person");
    await photo.screenshot({ path: join(folder, "likeness-a-photo-is-refused.png"), fullPage: true });

    step("someone enrols with camera and microphone");
    const person = await personWithCamera(browser, base, "face");
    await person.goto(`${base}/account/likeness`);
    await person.screenshot({ path: join(folder, "likeness-consent.png"), fullPage: true });
    await judge(person, "the consent");
    const challenge = await beginEnrolment(person, base);
    await person.screenshot({ path: join(folder, "likeness-challenge.png"), fullPage: true });
    await judge(person, "the challenge");
    await recordEnrolment(person);
    await person.waitForURL(`${base}/account/likeness`, { timeout: 30_000 });
    await person.waitForSelector("text=A person looks at it now");

    step("a challenge that was used is refused");
    const used = await person.evaluate(async (path) => {
      const answer = await fetch(`${path}/finish`, { method: "POST", body: new FormData(), headers: { accept: "application/json" } });
      return [answer.status, (await answer.json()).code];
    }, challenge);
    if (String(used) !== "400,used") complain(`a used challenge was answered with ${used}`);
    await person.selectOption("#look-hat", "top hat");
    await person.click("form[action='/account/likeness/puppet'] button");
    await person.waitForSelector("text=You are drawn like this from now on");

    step("a person looks at the recording");
    await admin.goto(`${base}/moderation/likeness`);
    await admin.click("a[href^='/moderation/likeness/enrol_']");
    await admin.waitForSelector("video");
    await judge(admin, "the review");
    for (const box of await admin.locator("fieldset input[type=checkbox]").all()) await box.check();
    await admin.screenshot({ path: join(folder, "likeness-review.png"), fullPage: true });
    await admin.click("button[value=approve]");
    await admin.waitForURL(`${base}/moderation/likeness`);

    step("lent to everyone, said twice");
    await person.goto(`${base}/account/likeness`);
    await person.check("input[name=audience][value=everyone]");
    await person.click("form[action='/account/likeness/lend'] button.act");
    await person.waitForSelector("text=must be confirmed a second time");
    await person.check("input[name=audience][value=everyone]");
    await person.check("input[name=confirm_everyone]");
    await person.click("form[action='/account/likeness/lend'] button.act");
    await person.waitForSelector("text=The new consent counts");
    await person.screenshot({ path: join(folder, "likeness-lent.png"), fullPage: true });

    step("someone else makes a clip with it, and shows it");
    const fan = await personWithCamera(browser, base, "fan");
    await fan.goto(`${base}/make?prompt=${encodeURIComponent("@face moves left in the meadow")}`);
    await fan.click("form[data-ask] button.act");
    await fan.waitForURL(/\/clips\/video_/);
    await fan.waitForSelector(".player video", { timeout: 300_000 });
    await fan.screenshot({ path: join(folder, "likeness-a-clip.png"), fullPage: true });
    const clip = new URL(fan.url()).pathname;
    const posted = await fan.evaluate(async (path) => (await fetch(`${path}/publish`, { method: "POST", body: new URLSearchParams({ visibility: "public", caption: "look" }) })).url, clip);
    if (!posted.includes("/p/")) complain(`the clip was not shown: ${posted}`);

    step("its person sees it, withdraws, and it is gone");
    await person.goto(`${base}/account/likeness/uses`);
    await person.waitForSelector("text=@face moves left in the meadow");
    await person.screenshot({ path: join(folder, "likeness-uses.png"), fullPage: true });
    await judge(person, "the uses");
    await person.goto(`${base}/account/likeness`);
    await person.click("form[action='/account/likeness/withdraw'] button");
    await person.waitForSelector("text=Your likeness is withdrawn");
    const stranger = await open(await browser.newContext(), base);
    if ((await stranger.goto(posted)).status() !== 404) complain("a clip outlives the likeness in it");
    const media = await fan.evaluate(async (path) => (await fetch(`${path}/media/video`)).status, clip);
    if (media !== 403) complain(`its maker still watches it: ${media}`);
  } finally {
    await browser.close();
  }
}

async function main() {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const home = await mkdtemp(join(tmpdir(), "misora-browser."));
  const { server, link, base } = await start(misora, home);
  const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    step("the first link makes the administrator");
    const adminContext = await browser.newContext({ viewport: SIZES.desktop });
    const admin = await open(adminContext, base);
    await setUp(admin, link, base);
    if (admin.url().includes("#")) complain("the secret of the set-up link stays in the address");

    step("a newcomer sees the first page, and how large it is");
    const context = await browser.newContext({ viewport: SIZES.phone, hasTouch: true });
    const page = await open(context, base);
    const sizes = { all: 0, script: 0 };
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    const kinds = new Map();
    session.on("Network.responseReceived", (event) => kinds.set(event.requestId, event));
    session.on("Network.loadingFinished", (event) => {
      const answer = kinds.get(event.requestId);
      if (!answer || answer.type === "Media" || /\/(media|video)/.test(answer.response.url)) return;
      sizes.all += event.encodedDataLength;
      if (answer.type === "Script") sizes.script += event.encodedDataLength;
    });
    await page.goto(base, { waitUntil: "networkidle" });
    console.log(`  first page: ${sizes.all} bytes without media, script: ${sizes.script} bytes`);
    if (sizes.all > FIRST_PAGE_BYTES || sizes.script > SCRIPT_BYTES) complain("the first page is too large");
    await session.detach();

    await picture(browser, base, [], [["start", "/"]]);

    step("the first press of the tab key offers the content");
    await page.keyboard.press("Tab");
    const skip = await page.evaluate(() => document.activeElement?.getAttribute("href"));
    if (skip !== "#main") complain(`the tab key leads to ${skip} first`);

    step("an idea, then an account, then the idea again");
    await page.goto(`${base}/make?prompt=${encodeURIComponent("a red boat sails right on the sea at dusk")}`);
    await page.click("a[href^='/sign-up']");
    await page.fill("#email", "mika@example.org");
    await page.fill("#password", PASSWORD);
    await page.click("main button.act");
    await page.waitForSelector("form[data-ask]");
    const kept = await page.inputValue("#prompt");
    if (kept !== "a red boat sails right on the sea at dusk") complain(`the idea became ${kept}`);
    await page.waitForFunction(() => document.querySelector("[data-price]").textContent !== "");

    step("a real clip is made and watched");
    await page.click("form[data-ask] button.act");
    await page.waitForURL(/\/clips\/video_/);
    await page.waitForTimeout(200);
    await page.screenshot({ path: join(folder, "making-phone-light.png") });
    await page.waitForSelector(".player video", { timeout: 300_000 });
    const clip = new URL(page.url()).pathname;
    const playing = await page.evaluate(async () => {
      const video = document.querySelector(".player video");
      video.muted = true;
      await video.play();
      await new Promise((done) => { setTimeout(done, 1500); });
      return { time: video.currentTime, width: video.videoWidth, error: video.error?.message };
    });
    if (!(playing.time > 0) || playing.width !== 720) complain(`the clip does not play: ${JSON.stringify(playing)}`);
    await page.click("a.seal");
    await page.waitForSelector("text=Not one byte was changed");

    step("a wish is said again in the model's words");
    await page.goto(`${base}/make`);
    await page.fill("#prompt", "my dog chasing a frisbee at the beach");
    await page.click("[data-reword]");
    await page.waitForSelector("text=dog → cat");
    const said = await page.inputValue("#prompt");
    if (said !== "An orange cat walks right with a red ball on the sea.") complain(`the wish became ${said}`);
    await page.screenshot({ path: join(folder, "reworded-phone-light.png") });
    await judge(page, "reworded, phone, light");

    step("a prompt that breaks a rule");
    await page.goto(`${base}/make`);
    await page.fill("#prompt", "hardcore porn");
    await page.click("form[data-ask] button.act");
    await page.waitForSelector("text=Nothing was charged");
    await page.screenshot({ path: join(folder, "refused-phone-light.png") });

    step("the reasons of the refusal, and an appeal");
    await page.click("main a[href*='/account/decisions/dec_']");
    await page.waitForSelector("text=A program, without a person");
    const decision = new URL(page.url()).pathname;
    await page.screenshot({ path: join(folder, "decision-phone-light.png"), fullPage: true });
    await judge(page, "decision, phone, light");
    await page.fill("#text", "It is the title of a painting.");
    await page.click("form[action$='/appeal'] button.act");
    await page.waitForSelector("text=Waits for an answer");
    await admin.goto(`${base}/moderation`);
    await admin.click("a[href^='/moderation/appeals/']");
    await admin.waitForSelector("text=It is the title of a painting.");
    await admin.screenshot({ path: join(folder, "moderation-appeal-desktop-light.png"), fullPage: true });
    await judge(admin, "moderation appeal, desktop, light");
    await admin.fill("#answer", "You are right: it is one.");
    await admin.click("button[value=overturned]");
    await admin.waitForURL(`${base}/moderation`);
    await page.goto(base + decision);
    await page.waitForSelector("text=You were right");
    await page.screenshot({ path: join(folder, "appeal-won-phone-light.png"), fullPage: true });
    await judge(page, "appeal won, phone, light");

    step("several at once, one cancelled");
    await page.goto(`${base}/make`);
    await page.fill("#prompt", "a black cat moves left in the forest");
    await page.check("input[name=n][value='2']", { force: true });
    await page.check("input[name=seconds][value='8']", { force: true });
    await page.click("form[data-ask] button.act");
    await page.waitForURL(/\/library/);
    await page.goto(`${base}/make`);
    const cancel = page.locator("form[action$='/cancel'] button").last();
    if (await cancel.count()) await cancel.click().catch(() => {});

    step("a star, a folder, the trash and the way back");
    await page.goto(`${base}/library?state=completed`);
    await page.locator(".star").first().click();
    await page.waitForSelector(".star[aria-pressed=true]");
    await page.locator("summary", { hasText: "New folder" }).click();
    await page.fill("#new-name", "Boats");
    await page.click("form[action='/library/folders'] button");
    await page.waitForSelector("text=The folder is there");
    await page.goto(`${base}/library?state=completed`);
    await page.locator(".pick input").first().check();
    await page.selectOption("#into", { label: "Boats" });
    await page.click("button[value=move]");
    await page.waitForSelector("text=Boats · 1");
    await page.locator(".pick input").first().check();
    await page.click("button[value=trash]");
    await page.waitForSelector("text=In the trash: 1.");
    await page.screenshot({ path: join(folder, "library-trashed-phone-light.png") });
    await page.click("form[action='/library/undo'] button");
    await page.waitForSelector("text=Back in your library.");

    step("without a script, plain forms work");
    const plain = await browser.newContext({ javaScriptEnabled: false, viewport: SIZES.desktop });
    const still = await plain.newPage();
    await still.goto(`${base}/sign-in`);
    await still.fill("#email", "mika@example.org");
    await still.fill("#password", PASSWORD);
    await still.click("main button.act");
    await still.goto(`${base}/make`);
    await still.fill("#prompt", "a yellow rocket moves up in the night sky");
    await still.click("form.ask button.act");
    await still.waitForURL(/\/clips\/video_/);

    step("a film of three shots, put together without a script");
    await still.goto(`${base}/make`);
    await still.click("main a[href='/storyboard']");
    await still.fill("#title", "A boat goes home");
    await still.fill("#prompt-1", "a red boat sails right on the sea at dusk");
    await still.fill("#prompt-2", "a black cat moves left in the meadow");
    await still.click("button[value=add]");
    await still.fill("#prompt-3", "a red boat sails right on the sea at night");
    await still.click("button[value=down-2]");
    if (await still.inputValue("#prompt-3") !== "a black cat moves left in the meadow") complain("a shot did not move");
    await still.screenshot({ path: join(folder, "storyboard-written-desktop-light.png"), fullPage: true });
    const [document] = await Promise.all([still.waitForEvent("download"), still.click("button[value=download]")]);
    await still.click("button[value=remove-3]");
    await still.click("summary:has-text('Open a document')");
    await still.setInputFiles("#document", await document.path());
    await still.click("button[value=open]");
    if (await still.inputValue("#prompt-3") !== "a black cat moves left in the meadow") complain("a storyboard did not come back");
    await still.click("button[value=make]");
    await still.waitForURL(/\/clips\/video_/);
    await still.click("form[action$='/cancel'] button");
    await still.click("a[href^='/storyboard?from=']");
    if (await still.inputValue("#title") !== "A boat goes home") complain("the film has another storyboard");
    await plain.close();

    step("a part of the clip is a clip of its own");
    await page.goto(base + clip);
    await page.click("details:has(form[action$='/trim']) summary");
    await page.fill("#trim-end", "1.5");
    await page.click("form[action$='/trim'] button.act");
    await page.waitForURL((url) => url.pathname.startsWith("/clips/") && url.pathname !== clip);
    await page.waitForSelector(".player video", { timeout: 60_000 });

    step("the clip is published, after a profile");
    await page.goto(base + clip);
    await page.click("a[href^='/account/profile']");
    await page.fill("#handle", "mika");
    await page.fill("#bio", "Paper boats, mostly.");
    await page.click("main form[action='/account/profile'] button.act");
    await page.waitForURL(base + clip);
    await page.click("details:has(form[action$='/publish']) summary");
    await page.fill("#caption", "my first #boat");
    await page.click("form[action$='/publish'] button.act");
    await page.waitForURL(/\/p\//);
    const post = new URL(page.url()).pathname;

    step("someone else joins, and watches the feed");
    const other = await browser.newContext({ viewport: SIZES.desktop });
    const yuki = await open(other, base);
    await yuki.goto(base);
    await yuki.waitForSelector(`article.post video[src^='${post}']`);
    await yuki.waitForFunction(() => document.querySelector("article.post video").currentTime > 0);
    await yuki.goto(`${base}/sign-up`);
    await yuki.fill("#email", "yuki@example.org");
    await yuki.fill("#password", PASSWORD);
    await yuki.click("main button.act");
    await yuki.goto(`${base}/account/profile`);
    await yuki.fill("#handle", "yuki");
    await yuki.click("main form[action='/account/profile'] button.act");
    await yuki.waitForURL(`${base}/@yuki`);

    step("a like by key, without leaving the clip");
    await yuki.goto(base);
    await yuki.waitForSelector("article.post");
    await yuki.keyboard.press("l");
    await yuki.waitForSelector("article.post button.liked");
    await yuki.click("article.post details.why summary");
    await yuki.waitForSelector("text=It is new");

    step("follow, comment, remix, message");
    await yuki.goto(`${base}/@mika`);
    await yuki.click("form[action$='/follow'] button");
    await yuki.waitForSelector("form[action$='/unfollow']");
    await yuki.goto(base + post);
    await yuki.fill("#text", "What a sea!");
    await yuki.click("form[action$='/comment'] button.act");
    await yuki.waitForSelector("text=What a sea!");
    await yuki.click("a[href^='/make?remix=']");
    await yuki.fill("#prompt", "a blue boat sails right on the sea at night");
    await yuki.click("form[data-ask] button.act");
    await yuki.waitForURL(/\/clips\/video_/);
    await yuki.waitForSelector(".player video", { timeout: 300_000 });
    await yuki.click("details:has(form[action$='/publish']) summary");
    await yuki.click("form[action$='/publish'] button.act");
    await yuki.waitForURL(/\/p\//);
    await yuki.waitForSelector("text=A remix of a clip by @mika");
    await yuki.goto(`${base}/messages/@mika`);
    await yuki.fill("#text", "I made the night to your day.");
    await yuki.click("main form button.act");
    await yuki.waitForSelector("text=I made the night");

    step("the first one is told, answers, and steers the feed");
    await page.goto(base);
    await page.click("a[href='/notices']");
    await page.waitForSelector("text=yuki made a remix of your clip");
    await page.goto(`${base}/messages/@yuki`);
    await page.fill("#text", "It is lovely.");
    await page.click("main form#end button.act");
    await page.waitForSelector("text=It is lovely.");
    await page.goto(`${base}/account/feed`);
    await page.fill("#text", "more boats, no rain");
    await page.click("form[action='/account/feed/rules'] button.act");
    await page.waitForSelector("text=no rain");

    step("a report, which the moderators see");
    await yuki.goto(`${base}/report?post=${post.slice("/p/".length)}`);
    await yuki.check("input[value=other]");
    await yuki.click("main form button.act");
    await yuki.waitForSelector("text=The moderators look at it");
    const theirs = (await other.cookies()).filter((cookie) => cookie.name === "misora_session");

    step("a passkey is added, and signs in");
    await page.goto(`${base}/account`);
    await page.click("form[action='/sign-out'] button");
    await page.waitForURL(`${base}/`);
    await page.goto(`${base}/sign-in`);
    await page.fill("#email", "mika@example.org");
    await page.fill("#password", PASSWORD);
    await page.click("main form button.act");
    await page.waitForURL(`${base}/`);
    const keyring = await context.newCDPSession(page);
    await keyring.send("WebAuthn.enable");
    await keyring.send("WebAuthn.addVirtualAuthenticator", {
      options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
    });
    await page.goto(`${base}/account/security`);
    await page.fill("#passkey-name", "This phone");
    await page.click("form[data-passkey-add] button.act");
    await page.waitForURL(/notice=passkey_added/);
    await page.waitForSelector("strong:has-text('This phone')");
    await page.goto(`${base}/account`);
    await page.click("form[action='/sign-out'] button");
    await page.waitForURL(`${base}/`);
    // The virtual authenticator chooses what the field offers: nothing is pressed.
    await page.goto(`${base}/sign-in?next=${encodeURIComponent("/library?q=sail")}`);
    await page.waitForURL(`${base}/library?q=sail`);
    await page.goto(`${base}/account`);
    await page.click("form[action='/sign-out'] button");
    await page.waitForURL(`${base}/`);
    // A browser that offers nothing at fields has the button.
    await page.addInitScript(() => { PublicKeyCredential.isConditionalMediationAvailable = async () => false; });
    await page.goto(`${base}/sign-in?next=${encodeURIComponent("/library?q=boat")}`);
    await page.click("[data-passkey-enter] button");
    await page.waitForURL(`${base}/library?q=boat`);

    step("an authenticator app reads its seed from a picture");
    await page.goto(`${base}/account/security`);
    await page.click("form[action='/account/security/second-factor'] button");
    await page.waitForSelector("svg.qr");
    await page.screenshot({ path: join(folder, "authenticator-phone-light.png"), fullPage: true });
    await judge(page, "authenticator, phone, light");
    await keyring.detach();

    step("pictures of every page");
    const own = (await context.cookies()).filter((cookie) => cookie.name === "misora_session");
    const administrator = (await adminContext.cookies()).filter((cookie) => cookie.name === "misora_session");
    await picture(browser, base, [], [
      ["sign-in", "/sign-in"], ["sign-up", "/sign-up"], ["forgotten", "/forgotten-password"], ["set-up", "/set-up"], ["nowhere", "/nowhere"], ["retention", "/retention"],
      ["takedown", "/takedown"], ["takedown-intimate", "/takedown/intimate"], ["takedown-copyright", "/takedown/copyright"], ["rights", "/rights"], ["transparency", "/transparency"],
    ]);
    await picture(browser, base, own, [
      ["make", "/make"], ["storyboard", "/storyboard"], ["clip", clip], ["credentials", `${clip}/credentials`], ["library", "/library"],
      ["library-none", "/library?q=nothing"],
      ["library-favourites", "/library?only=favourites"], ["trash", "/library?in=trash"],
      ["account", "/account"], ["keys", "/account/keys"], ["security", "/account/security"], ["archives", "/account/export"], ["confirm", "/confirm-password"],
      ["closing-social", "/account/services/social/close"], ["closing-account", "/account/close"],
    ]);
    await picture(browser, base, own, [
      ["feed", "/"], ["post", post], ["profile", "/@mika"], ["own-profile", "/account/profile"], ["steer", "/account/feed"], ["notice-settings", "/account/notices"], ["search", "/search?q=boat"],
      ["search-none", "/search?q=zebra"], ["messages", "/messages"], ["conversation", "/messages/@yuki"], ["notices", "/notices"], ["decisions", "/account/decisions"], ["decision", decision],
    ]);
    await picture(browser, base, theirs, [["post-of-another", post], ["profile-of-another", "/@mika"], ["report", "/report?profile=mika"]]);
    await picture(browser, base, [], [["feed-signed-out", "/"], ["embed", `${post}/embed`]]);
    await picture(browser, base, administrator, [
      ["moderation", "/moderation"], ["moderation-work", "/moderation/work"], ["admin-decisions", "/admin/decisions"],
      ["library-empty", "/library"], ["admin", "/admin"], ["admin-people", "/admin/people"], ["admin-invites", "/admin/invites"],
      ["admin-tiers", "/admin/tiers"], ["admin-models", "/admin/models"], ["admin-sunsets", "/admin/sunsets"], ["admin-rights", "/admin/rights"],
    ]);
    await picture(browser, base, own, [
      ["make-ja", "/make"], ["storyboard-ja", "/storyboard"], ["feed-ja", "/"], ["post-ja", post], ["account-ja", "/account"], ["security-ja", "/account/security"], ["archives-ja", "/account/export"],
      ["clip-ja", clip], ["closing-ja", "/account/services/social/close"], ["decision-ja", decision], ["takedown-ja", "/takedown/copyright"],
    ], "ja-JP");

    step("a block, and neither sees the other");
    await page.goto(`${base}/@yuki`);
    await page.click("details:has(form[action$='/block']) summary");
    await page.click("form[action$='/block'] button");
    const gone = await yuki.goto(base + post);
    if (gone.status() !== 404) complain(`whoever is blocked still sees the post: ${gone.status()}`);

    step("sharing ends, making and a key go on, and it is taken back");
    await page.goto(`${base}/account/keys`);
    const key = await page.evaluate(async () => {
      const projects = await (await fetch("/api/projects")).json();
      const made = await fetch(`/api/projects/${projects.data[0].id}/keys`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name: "walk" }) });
      return (await made.json()).secret;
    });
    const works = async (path) => (await fetch(base + path, { headers: { authorization: `Bearer ${key}` } })).status;
    await page.goto(`${base}/account/services/social/close`);
    await page.waitForSelector("text=These services are not affected: Making, API");
    await page.fill("#confirm", "social");
    await page.click("form[action$='/close'] button.danger");
    await page.waitForURL(`${base}/account?notice=service`);
    await page.screenshot({ path: join(folder, "social-is-ending.png"), fullPage: true });
    if ((await page.goto(`${base}/library`)).status() !== 200) complain("the end of sharing ended the library");
    if (await works("/v1/models") !== 200 || await works("/v1/videos") !== 200) complain("the end of sharing ended a key");
    if ((await admin.goto(base + post)).status() !== 404) complain("a post outlives the end of sharing");
    await page.goto(`${base}/account/services/social/close`);
    await page.click("form[action$='/undo'] button");
    await page.waitForURL(`${base}/account?notice=service`);
    if ((await page.goto(base + post)).status() !== 200) complain("a post did not come back");

    step("an archive of everything is made and fetched");
    await page.goto(`${base}/account/export`);
    await page.click("form[action='/account/export'] button");
    for (let tries = 0; tries < 60 && await page.locator("a[href*='/account/export/'][href$='/content']").count() === 0; tries++) {
      await page.waitForTimeout(1000);
      await page.goto(`${base}/account/export`);
    }
    await page.screenshot({ path: join(folder, "archive-is-ready.png"), fullPage: true });
    const archive = await page.locator("a[href*='/account/export/'][href$='/content']").first().getAttribute("href");
    const head = await page.evaluate(async (href) => [...new Uint8Array(await (await fetch(href)).arrayBuffer()).slice(0, 4)], archive);
    if (String(head) !== "80,75,3,4") complain(`the archive is no ZIP: ${head}`);

    step("an account ends at once, and its address joins again");
    await yuki.goto(`${base}/account/close`);
    await yuki.fill("#confirm", "yuki@example.org");
    await yuki.click("form[action='/account/close'] button.danger");
    await yuki.waitForURL(`${base}/account?notice=service`);
    await yuki.goto(`${base}/account/close`);
    await yuki.screenshot({ path: join(folder, "account-is-ending.png"), fullPage: true });
    await yuki.click("details:has(form[action='/account/erase']) summary");
    await yuki.fill("#confirm", "yuki@example.org");
    await yuki.click("form[action='/account/erase'] button.danger");
    for (let tries = 0; tries < 30 && !yuki.url().includes("/sign-in"); tries++) {
      await yuki.waitForTimeout(1000);
      await yuki.goto(`${base}/account`);
    }
    await yuki.goto(`${base}/sign-up`);
    await yuki.fill("#email", "yuki@example.org");
    await yuki.fill("#password", PASSWORD);
    await yuki.click("main button.act");
    await yuki.goto(`${base}/library`);
    await yuki.waitForSelector("text=An empty sky");
    await yuki.screenshot({ path: join(folder, "back-with-nothing.png"), fullPage: true });
    if ((await yuki.goto(`${base}/@yuki`)).status() !== 404) complain("the profile of before is still there");
    await likeness(base, admin);
    await firstStart(browser);
  } finally {
    await browser.close();
    server.kill("SIGTERM");
    await rm(home, { recursive: true, force: true });
  }
  if (complaints.length > 0) {
    console.error(`${complaints.length} complaints`);
    process.exit(1);
  }
  console.log(`  all is well; the pictures are in ${folder}`);
}

await main();
