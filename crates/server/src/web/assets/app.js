// What pages do by themselves: progress, prices, playing on hover. Everything else works without it.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

document.documentElement.classList.add("js");

function remember(name, value) {
  try { localStorage.setItem(name, value); } catch { /* A browser that keeps nothing still works. */ }
}
function recall(name) {
  try { return localStorage.getItem(name); } catch { return null; }
}

// Times as the reader's clock has them.
function localTimes(root) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
  for (const time of $$("time[datetime]", root)) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = format.format(at);
  }
}

// The box: price as it changes, a picture to start from, one press is one request.
function askBox(form) {
  const price = $("[data-price]", form);
  const quote = async () => {
    if (!price) return;
    const data = new FormData(form);
    const query = new URLSearchParams();
    for (const name of ["model", "seconds", "shape", "n"]) if (data.get(name)) query.set(name, data.get(name));
    try {
      const answer = await fetch(`/make/quote?${query}`, { headers: { accept: "application/json" } });
      if (answer.ok) price.textContent = (await answer.json()).text;
    } catch { /* The price is shown after the next change. */ }
  };
  form.addEventListener("change", (event) => { if (event.target.name !== "prompt") quote(); });
  quote();
  const input = $("input[type=file]", form);
  const picked = $("[data-picked]", form);
  input?.addEventListener("change", () => {
    const file = input.files[0];
    picked.hidden = !file;
    if (file) $("img", picked).src = URL.createObjectURL(file);
  });
  $("[data-unpick]", form)?.addEventListener("click", () => { input.value = ""; picked.hidden = true; input.focus(); });
  const text = $("textarea", form);
  // The words of the model come into the box without leaving the page, so a chosen picture stays.
  $("[data-reword]", form)?.addEventListener("click", async (event) => {
    if (!text.value.trim()) return;
    event.preventDefault();
    const body = new URLSearchParams({ prompt: text.value });
    try {
      const answer = await fetch("/make/reword", { method: "POST", headers: { accept: "application/json" }, body });
      if (!answer.ok) throw new Error(answer.status);
      const said = await answer.json();
      if (said.prompt) text.value = said.prompt;
      $("[data-helped]", form).replaceChildren(...said.told.map((sentence) => {
        const line = document.createElement("p");
        line.textContent = sentence;
        return line;
      }));
    } catch { event.target.removeAttribute("data-reword"); form.requestSubmit(event.target); }
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    const button = $("button[type=submit]", form);
    setTimeout(() => { button.disabled = true; });
  });
  addEventListener("pageshow", () => { $("button[type=submit]", form).disabled = false; });
}

// Progress of what is being made. Once it has ended the page is read again.
function watchProgress(place) {
  const source = new EventSource(`/clips/${place.dataset.progress}/events`);
  source.addEventListener("progress", (event) => {
    const now = JSON.parse(event.data);
    const bar = $("progress", place);
    if (bar) bar.value = now.percent;
    const words = $("[data-words]", place);
    if (words && words.textContent !== now.words) words.textContent = now.words;
    if (!now.ended) return;
    source.close();
    if (document.hidden && now.state === "completed" && "Notification" in window && Notification.permission === "granted") {
      new Notification(place.dataset.done, { body: place.dataset.prompt, icon: "/static/icon-192.png" });
    }
    if (place.dataset.then === "reload") location.reload();
    else place.classList.add("done");
  });
}

// A part of the clip on the page: its first and last frame as they are chosen, and the part alone on a press.
function trimForm(form) {
  const video = $(".player video");
  if (!video) return;
  const [start, end, preview] = [form.elements.start, form.elements.end, $("[data-preview]", form)];
  const until = () => { if (video.currentTime >= Number(end.value)) { video.pause(); stop(); } };
  const stop = () => video.removeEventListener("timeupdate", until);
  for (const field of [start, end]) {
    field.addEventListener("input", () => { stop(); video.pause(); video.currentTime = Number(field.value) || 0; });
  }
  preview.hidden = false;
  preview.addEventListener("click", () => {
    stop();
    video.currentTime = Number(start.value) || 0;
    video.addEventListener("timeupdate", until);
    video.play().catch(() => {});
  });
}

// A notice when it is done, only for whoever asks for one.
function offerNotice(button) {
  if (!("Notification" in window) || Notification.permission !== "default") return;
  button.hidden = false;
  button.addEventListener("click", async () => { await Notification.requestPermission(); button.hidden = true; });
}

// Clips in a grid move under the pointer or when they have the focus.
function hoverPlay(clip) {
  const source = clip.dataset.video;
  if (!source || calm) return;
  let video;
  const start = () => {
    if (!video) {
      video = document.createElement("video");
      Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "metadata", src: source });
      video.setAttribute("aria-hidden", "true");
      video.tabIndex = -1;
      $(".frame", clip).append(video);
    }
    video.hidden = false;
    video.play().catch(() => {});
  };
  const stop = () => { if (video) { video.pause(); video.hidden = true; } };
  clip.addEventListener("pointerenter", start);
  clip.addEventListener("pointerleave", stop);
  clip.addEventListener("focusin", start);
  clip.addEventListener("focusout", stop);
}

// A star is set without leaving the page.
function star(button) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    const on = button.value === "true";
    const answer = await fetch(button.formAction, { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams({ on }) });
    if (!answer.ok || answer.redirected) { location.assign(answer.redirected ? answer.url : location.href); return; }
    button.setAttribute("aria-pressed", String(on));
    button.value = String(!on);
  });
}

// All clips of a page are picked at once.
function pickAll(form) {
  const picks = $$("input[name=clip]", form);
  const all = $("[data-all]", form);
  const box = $("input", all);
  all.hidden = false;
  box.addEventListener("change", () => picks.forEach((pick) => { pick.checked = box.checked; }));
  form.addEventListener("change", () => { box.checked = picks.every((pick) => pick.checked); });
}

function copying(root) {
  for (const button of $$("[data-copy]", root)) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy;
      if (button.dataset.share !== undefined && navigator.share) {
        try { await navigator.share({ url: text }); return; } catch { /* Copied instead. */ }
      }
      await navigator.clipboard.writeText(text);
      const label = $("[data-label]", button) ?? button;
      const said = label.textContent;
      label.textContent = button.dataset.copied;
      setTimeout(() => { label.textContent = said; }, 1600);
    });
  }
}

// A link's secret stays behind its # until the form is sent, and goes to the API as JSON.
function fragmentForm(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    fields[form.dataset.fragment] = location.hash.slice(1);
    const answer = await fetch(form.dataset.to, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields),
    });
    const said = $("[role=status]", form.parentElement);
    if (answer.ok) {
      history.replaceState(null, "", location.pathname);
      location.assign(form.dataset.then);
    } else {
      said.hidden = false;
      const { code, param, message } = (await answer.json()).error;
      const words = form.dataset;
      said.textContent = words[`${code}_${param}`] ?? words[code] ?? words.other ?? message;
    }
  });
}

// Passkeys: what the API begins, the browser and its authenticator go through, and the API ends.
const passkeys = isSecureContext && Boolean(window.PublicKeyCredential?.parseRequestOptionsFromJSON);

async function passkeyCall(path, body) {
  const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const told = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(told.error.message), { code: told.error.code });
  return told;
}

// Goes on to the place's data-then once the work is done, or says what went wrong: in the words that the place has for it, else in the error's own.
async function saying(place, work) {
  const said = $("[data-said]", place);
  const button = $("button", place);
  said.hidden = true;
  button.disabled = true;
  try {
    await work();
    location.assign(place.dataset.then);
  } catch (error) {
    if (error.code === "reauth_required") {
      location.assign(`/confirm-password?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    said.textContent = place.dataset[error.code] ?? place.dataset[error.name.toLowerCase()] ?? place.dataset.other ?? error.message;
    said.hidden = false;
  } finally {
    button.disabled = false;
  }
}

function ceremony(place, path, run, more = {}) {
  return saying(place, async () => {
    const { ceremony: begun, options } = await passkeyCall(`${path}/start`, {});
    const credential = await run(options);
    await passkeyCall(path, { ...more, ceremony: begun, credential: credential.toJSON() });
  });
}

function addPasskey(form) {
  if (!passkeys) { $("[data-no-passkeys]").hidden = false; return; }
  form.hidden = false;
  const make = (options) => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = new FormData(form).get("name").trim();
    ceremony(form, "/api/account/passkeys", make, name ? { name } : {});
  });
}

function enterByPasskey(place) {
  if (!passkeys) return;
  place.hidden = false;
  const path = "/api/sessions/passkey";
  const prove = (options, more = {}) => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), ...more });
  // Where browsers can, they offer passkeys at the field for the address. What was begun for it lasts five minutes, so it is begun anew before.
  let offered, renewal;
  const offer = async () => {
    offered?.abort();
    clearTimeout(renewal);
    const mine = offered = new AbortController();
    renewal = setTimeout(offer, 240_000);
    let answer;
    try {
      const { ceremony: begun, options } = await passkeyCall(`${path}/start`, {});
      const credential = await prove(options, { mediation: "conditional", signal: mine.signal });
      answer = { ceremony: begun, credential: credential.toJSON() };
    } catch { return; /* Nobody chose one. The form and the button are there. */ }
    clearTimeout(renewal);
    await saying(place, () => passkeyCall(path, answer));
    if (!$("[data-said]", place).hidden) offer();
  };
  const offerIfPossible = async () => { if (await PublicKeyCredential.isConditionalMediationAvailable?.()) offer(); };
  offerIfPossible();
  addEventListener("pageshow", (event) => { if (event.persisted) offerIfPossible(); });
  $("button", place).addEventListener("click", async () => {
    // There is one question at a time.
    offered?.abort();
    clearTimeout(renewal);
    await ceremony(place, path, prove);
    if (!$("[data-said]", place).hidden) offerIfPossible();
  });
}

// The feed: the clip on the screen plays, the next is fetched, keys and wheel go on, the end brings more.
function feed(place) {
  const posts = () => $$("article.post", place);
  let current;
  const muted = () => recall("muted") !== "no";
  const show = (post) => {
    if (post === current) return;
    const video = $("video", post);
    if (current) $("video", current).pause();
    current = post;
    video.muted = muted();
    video.controls = calm;
    if (!calm) video.play().catch(() => { video.muted = true; video.play().catch(() => {}); });
    const all = posts();
    const at = all.indexOf(post);
    for (const next of all.slice(at + 1, at + 2)) $("video", next).preload = "auto";
    if (at >= all.length - 3) more();
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.intersectionRatio > .6) show(entry.target);
  }, { root: place, threshold: [.61] });
  const adopt = (post) => {
    const video = $("video", post);
    video.removeAttribute("controls");
    video.addEventListener("click", () => { if (video.paused) video.play(); else video.pause(); });
    const sound = $("[data-sound]", post);
    video.addEventListener("playing", () => {
      const has = video.mozHasAudio || video.webkitAudioDecodedByteCount > 0 || video.audioTracks?.length > 0;
      if (sound) sound.hidden = !has;
    });
    sound?.addEventListener("click", () => toggleSound());
    seen.observe(post);
  };
  const toggleSound = () => {
    remember("muted", muted() ? "no" : "yes");
    if (current) $("video", current).muted = muted();
  };
  const go = (by) => {
    const all = posts();
    const to = all[all.indexOf(current) + by];
    to?.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
  };
  let fetching = false;
  const more = async () => {
    const link = $("[data-more]", place);
    if (!link || fetching) return;
    fetching = true;
    try {
      const answer = await fetch(link.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const last = link.closest(".end-of-feed");
      for (const post of $$("article.post", page)) { $("[data-posts]", place).append(post); adopt(post); wakeInside(post); }
      const end = $(".end-of-feed", page);
      if (end) last.replaceWith(end);
    } catch { /* The link stays, and can be pressed. */ } finally { fetching = false; }
  };
  addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select, dialog[open]") || event.metaKey || event.ctrlKey || event.altKey) return;
    const keys = { ArrowDown: 1, j: 1, PageDown: 1, ArrowUp: -1, k: -1, PageUp: -1 };
    if (keys[event.key]) { event.preventDefault(); go(keys[event.key]); }
    if (event.key === "m") toggleSound();
    if (event.key === "l" && current) $("[data-like]", current)?.requestSubmit();
    if (event.key === " " && current && !event.target.closest("button, a, summary")) {
      event.preventDefault();
      const video = $("video", current);
      if (video.paused) video.play(); else video.pause();
    }
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden && current) $("video", current).pause(); });
  posts().forEach(adopt);
}

// A like is sent without leaving the clip.
function like(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = $("button", form);
    const on = button.getAttribute("aria-pressed") !== "true";
    const answer = await fetch(form.action, { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams({ on }) });
    // The page that says why is the form's own answer.
    if (answer.status === 429) { form.submit(); return; }
    if (!answer.ok || answer.redirected && answer.url.includes("/sign-in")) { location.assign(answer.url); return; }
    const now = await answer.json();
    button.setAttribute("aria-pressed", String(now.liked));
    button.classList.toggle("liked", now.liked);
    $("[data-likes]", form).textContent = now.likes;
    $("input[name=on]", form).value = String(!now.liked);
  });
}

// What was shown counts as read, without a reload.
function readNotices(form) {
  fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  form.hidden = true;
}

function wakeInside(root) {
  localTimes(root);
  $$("form[data-like]", root).forEach(like);
  copying(root);
}
function wake(root) {
  wakeInside(root);
  $$("[data-feed]", root).forEach(feed);
  $$("form[data-read]", root).forEach(readNotices);
  $$("form[data-ask]", root).forEach(askBox);
  $$("[data-progress]", root).forEach(watchProgress);
  $$("form[data-trim]", root).forEach(trimForm);
  $$("[data-notice]", root).forEach(offerNotice);
  $$(".clip[data-video]", root).forEach(hoverPlay);
  $$("[data-star]", root).forEach(star);
  $$("form[data-bulk]", root).forEach(pickAll);
  $$("form[data-fragment]", root).forEach(fragmentForm);
  $$("form[data-passkey-add]", root).forEach(addPasskey);
  $$("[data-passkey-enter]", root).forEach(enterByPasskey);
  $$("form[data-language] select", root).forEach((select) => select.addEventListener("change", () => select.form.requestSubmit()));
}
wake(document);

if ("serviceWorker" in navigator && isSecureContext) navigator.serviceWorker.register("/worker.js").catch(() => {});
