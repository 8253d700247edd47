// A recording straight from the camera: pieces go out as they are recorded, with small grey frames of them and how loud they were. From the
// last frames a first guess is made how the person is drawn; they correct it afterwards.
const place = document.querySelector("[data-capture]");
const video = place.querySelector("video");
const said = place.querySelector("[data-say]");
const start = place.querySelector("[data-start]");
const stop = place.querySelector("[data-stop]");
const say = (words) => { said.textContent = words; };
const WIDE = 32, HIGH = 24;
const LONGEST_MS = 45_000, SHORTEST_MS = 6_000;

const COLOURS = {
  skin: { pale: [250, 224, 204], light: [236, 188, 152], tan: [205, 150, 106], brown: [150, 98, 64], dark: [88, 58, 42] },
  hair_colour: { black: [30, 26, 26], brown: [92, 60, 40], blond: [222, 190, 120], red: [160, 72, 40], grey: [150, 150, 150] },
  shirt: {
    red: [200, 50, 50], orange: [235, 140, 50], yellow: [240, 215, 80], green: [70, 150, 80], blue: [60, 100, 190], purple: [125, 75, 160],
    pink: [240, 150, 180], brown: [125, 85, 55], black: [35, 35, 38], white: [240, 240, 238], grey: [140, 140, 142],
  },
};

function canvas(width, height) {
  const made = document.createElement("canvas");
  [made.width, made.height] = [width, height];
  return made;
}

// A frame in 32 by 24 cells of grey.
const small = canvas(WIDE, HIGH);
function grey() {
  const brush = small.getContext("2d", { willReadFrequently: true });
  brush.drawImage(video, 0, 0, WIDE, HIGH);
  const { data } = brush.getImageData(0, 0, WIDE, HIGH);
  const cells = new Uint8Array(WIDE * HIGH);
  for (let at = 0; at < cells.length; at += 1) cells[at] = (data[at * 4] * 54 + data[at * 4 + 1] * 183 + data[at * 4 + 2] * 19) >> 8;
  return cells;
}

// The name of the colour that is nearest to the middle of a part of the picture.
function nearest(picture, [left, top, right, bottom], names) {
  const { width, height } = picture;
  const x = Math.floor(left * width), y = Math.floor(top * height);
  const { data } = picture.getContext("2d").getImageData(x, y, Math.max(1, Math.floor((right - left) * width)), Math.max(1, Math.floor((bottom - top) * height)));
  const sum = [0, 0, 0];
  for (let at = 0; at < data.length; at += 4) for (let part = 0; part < 3; part += 1) sum[part] += data[at + part];
  const mean = sum.map((one) => one / (data.length / 4));
  const far = (colour) => colour.reduce((all, one, part) => all + (one - mean[part]) ** 2, 0);
  return Object.entries(names).sort((a, b) => far(a[1]) - far(b[1]))[0][0];
}

async function send(step, form) {
  const answer = await fetch(`${place.dataset.capture}/${step}`, { method: "POST", body: form, headers: { accept: "application/json" } });
  let body = {};
  try { body = await answer.json(); } catch { /* A page of an error. */ }
  if (!answer.ok) throw new Error(body.said ?? `${answer.status}`);
  return body;
}

async function record(stream) {
  const kind = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"].find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: 1_000_000 });
  const sound = new AudioContext();
  sound.resume();
  const ear = sound.createAnalyser();
  sound.createMediaStreamSource(stream).connect(ear);
  const waves = new Uint8Array(ear.fftSize);
  let frames = [], level = 0, number = 0, failed = null;
  const look = setInterval(() => {
    frames.push(grey());
    ear.getByteTimeDomainData(waves);
    const loudest = waves.reduce((most, one) => Math.max(most, Math.abs(one - 128)), 0);
    level = Math.max(level, Math.min(100, Math.round(loudest / 1.28)));
  }, 250);
  // One behind another, so that none overtakes.
  let sending = Promise.resolve();
  recorder.addEventListener("dataavailable", ({ data }) => {
    if (data.size === 0 || failed) return;
    const form = new FormData();
    form.set("piece", data, "piece");
    form.set("frames", new Blob(frames), "frames");
    form.set("level", level);
    const step = number;
    [frames, level, number] = [[], 0, number + 1];
    sending = sending.then(() => failed ? undefined : send(step, form)).catch((error) => {
      failed ??= error;
      if (recorder.state !== "inactive") recorder.stop();
    });
  });
  const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve));
  recorder.start(1000);
  const began = performance.now();
  setTimeout(() => { stop.disabled = false; }, SHORTEST_MS);
  setTimeout(() => { if (recorder.state !== "inactive") recorder.stop(); }, LONGEST_MS);
  stop.addEventListener("click", () => { if (performance.now() - began >= SHORTEST_MS && recorder.state !== "inactive") recorder.stop(); });
  await ended;
  clearInterval(look);
  say(said.dataset.sending);
  await sending;
  if (failed) throw failed;
  const still = canvas(video.videoWidth || 640, video.videoHeight || 480);
  still.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0);
  const form = new FormData();
  form.set("media_type", kind);
  form.set("skin", nearest(still, [0.44, 0.4, 0.56, 0.5], COLOURS.skin));
  form.set("hair_style", "short");
  form.set("hair_colour", nearest(still, [0.42, 0.12, 0.58, 0.18], COLOURS.hair_colour));
  form.set("shirt", nearest(still, [0.3, 0.88, 0.7, 0.98], COLOURS.shirt));
  form.set("hat", "no hat");
  form.set("glasses", "false");
  const picture = await new Promise((resolve) => still.toBlob(resolve, "image/jpeg", 0.9));
  if (picture) form.set("still", picture, "still.jpg");
  stream.getTracks().forEach((track) => track.stop());
  sound.close();
  const answer = await send("finish", form);
  say(said.dataset.done);
  location.assign(answer.next);
}

start.addEventListener("click", async () => {
  start.disabled = true;
  say(said.dataset.asking);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true });
  } catch {
    say(said.dataset.none);
    start.disabled = false;
    return;
  }
  video.srcObject = stream;
  await video.play();
  say(said.dataset.recording);
  [start.hidden, stop.hidden, stop.disabled] = [true, false, true];
  try { await record(stream); } catch (error) {
    stream.getTracks().forEach((track) => track.stop());
    stop.hidden = true;
    say(error.message);
  }
});
