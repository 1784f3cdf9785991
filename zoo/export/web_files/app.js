// The page: loads instruments, starts the audio when asked to, and joins keys, microphone, files and knobs to it.

import { show } from "./card.js";
import { LOWEST_INPUT_HZ, prepare } from "./engine.js";
import { Keyboard, nameOf } from "./keyboard.js";
import { KNOBS, knobsOf } from "./knobs.js";
import { melody } from "./melody.js";
import * as midi from "./midi.js";
import { noteOf } from "./notes.js";
import { Roll } from "./roll.js";
import { cost, mono, render, wav } from "./sound.js";
import { Sound } from "./graph.js";
import * as trouble from "./trouble.js";

const FRAME_MS = 28;
const USUAL_RATE = 48000; // until the audio has begun
const $ = (id) => document.getElementById(id);
const page = { list: [], library: null, module: null, chosen: null, lowest: LOWEST_INPUT_HZ, report: null, reported: 0 };
const sound = new Sound({ reported, failed: (message) => complain(`The instrument was not taken: ${message}.`) });
const knobs = knobsOf($("knobs"), (values) => sound.set(values));
const keyboard = new Keyboard($("keyboard"), {
  play: (note, velocity) => started().then(() => sound.tell("on", { note, velocity })).catch(complainOf),
  // by the same way as its beginning, so that it comes after it
  stop: (note) => page.starting && started().then(() => sound.tell("off", { note })).catch(() => {}),
  moved: (octave) => ($("octave").value = octave),
});
const roll = new Roll($("roll"), $("names"));

function complain(message) {
  $("trouble").textContent = message;
  $("trouble").hidden = !message;
}

function complainOf(error) {
  console.info(error);
  complain(error.message ?? String(error));
}

async function fetched(file) {
  const answer = await fetch(file).catch(() => null);
  if (!answer?.ok) throw new Error(trouble.missing(file, answer ? answer.status : "no answer"));
  return new Uint8Array(await answer.arrayBuffer());
}

// ---- instruments ----

async function begin() {
  const [library, list] = await Promise.all([fetched("zoo_player.wasm"), fetched("instruments.json")]);
  page.library = library;
  page.module = await WebAssembly.compile(library);
  page.list = JSON.parse(new TextDecoder().decode(list)).instruments;
  const wanted = decodeURIComponent(location.hash.slice(1));
  drawInstruments();
  await choose(page.list.find(({ name }) => name === wanted) ?? page.list[0]);
  document.documentElement.dataset.ready = "yes";
}

function drawInstruments() {
  const choices = page.list.map((each) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "instrument", value: each.name });
    input.checked = each === page.chosen;
    input.addEventListener("change", () => choose(each).catch(complainOf));
    const title = Object.assign(document.createElement("b"), { textContent: each.title || each.name });
    const kind = Object.assign(document.createElement("small"), { textContent: each.kind ?? each.name });
    label.append(input, title, kind);
    return label;
  });
  $("instruments").replaceChildren($("instruments").firstElementChild, ...choices);
}

/** Play another instrument from now on. */
async function choose(card) {
  complain("");
  card.bytes ??= await fetched(card.file);
  let prepared;
  try {
    prepared = await readied(card, sound.context?.sampleRate ?? USUAL_RATE);
  } catch (error) {
    throw new Error(trouble.instrument(card.file, error));
  }
  page.chosen = card;
  for (const input of $("instruments").querySelectorAll("input")) {
    input.checked = input.value === card.name;
    input.parentElement.classList.toggle("chosen", input.checked);
  }
  if (prepared.range) keyboard.setHome(...prepared.range.hz.map((hz, i) => (i ? Math.floor : Math.ceil)(noteOf(hz))));
  show($("card"), card);
  history.replaceState(null, "", `#${encodeURIComponent(card.name)}`);
  page.prepared = prepared;
  if (sound.context) sound.load(prepared);
  drawLatency();
  card.cost ??= await cost(page.module, prepared);
}

const readied = (card, sampleRate) => prepare(page.module, card.bytes, { sampleRate, lowestHz: page.lowest });

/** Begin with the audio, where that has not happened: a browser lets it happen only when somebody presses something. */
function started() {
  page.starting ??= (async () => {
    await page.loading;
    await sound.start(page.library, async (sampleRate) => (page.prepared = await readied(page.chosen, sampleRate)));
    drawLatency();
  })();
  page.starting.catch(() => (page.starting = null));
  // not waited for: where nobody has pressed anything yet, a browser keeps the audio waiting for that
  return page.starting.then(() => void sound.resume());
}

// ---- what plays it ----

function press(button, on) {
  button.setAttribute("aria-pressed", on);
}

const pressed = (button) => button.getAttribute("aria-pressed") === "true";

$("melody").addEventListener("click", async () => {
  const on = !pressed($("melody"));
  await started();
  const { hz } = page.prepared.range ?? { hz: [250, 1000] };
  const octaves = Math.round((noteOf(Math.sqrt(hz[0] * hz[1])) - 71) / 12);
  sound.tell("melody", on ? melody(12 * octaves) : null);
  press($("melody"), on);
});

async function microphoneOn(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(trouble.microphone({ name: "NotFoundError" }));
  await started();
  try {
    await sound.listen(deviceId);
  } catch (error) {
    throw new Error(trouble.microphone(error));
  }
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "audioinput");
  $("device").replaceChildren(...devices.map(({ label, deviceId: value }) => new Option(label || "microphone", value)));
  if (sound.deviceId) $("device").value = sound.deviceId;
  $("inputs").hidden = false;
  drawLatency();
}

$("microphone").addEventListener("click", async () => {
  const on = !pressed($("microphone"));
  if (!on) {
    sound.deafen();
    press($("microphone"), false);
    $("inputs").hidden = true;
    return;
  }
  complain("");
  await microphoneOn().then(() => press($("microphone"), true), complainOf);
});
$("device").addEventListener("change", () => microphoneOn($("device").value).catch(complainOf));
$("lowest").addEventListener("change", () => {
  page.lowest = Number($("lowest").value);
  choose(page.chosen).catch(complainOf);
});

$("midi").addEventListener("click", async () => {
  if (!navigator.requestMIDIAccess) return complain(trouble.NO_MIDI);
  complain("");
  try {
    await started();
    await midi.listen(({ what, value }) => sound.tell(what, value), (names) => {
      press($("midi"), names.length > 0);
      $("midi").querySelector("small").textContent = names.join(", ") || "plug a keyboard in";
    });
  } catch (error) {
    complain(trouble.midi(error));
  }
});

$("down").addEventListener("click", () => keyboard.shift(-1));
$("up").addEventListener("click", () => keyboard.shift(1));

// ---- files ----

async function open(file) {
  complain("");
  const bytes = await file.arrayBuffer();
  if (file.name.endsWith(".zoo")) return adopt(file.name, new Uint8Array(bytes));
  await page.loading;
  const row = result(`${file.name}, as ${page.chosen.title || page.chosen.name}`);
  const rate = sound.context?.sampleRate ?? USUAL_RATE;
  let recording;
  try {
    recording = mono(await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes));
  } catch {
    row.remove();
    throw new Error(trouble.recording(file.name));
  }
  const { transpose, loudness, room, mix } = knobs.values();
  const made = await render(page.module, await readied(page.chosen, rate), recording, {
    settings: { transpose, loudness, reverb: room },
    told: (part) => (row.querySelector("progress").value = part),
  });
  for (let i = 0; mix < 1 && i < recording.length; i++) made[i] = mix * made[i] + (1 - mix) * recording[i];
  finish(row, made, rate, `${file.name.replace(/\.\w+$/, "")}-${page.chosen.name}.wav`);
}

async function adopt(name, bytes) {
  let prepared;
  try {
    prepared = await prepare(page.module, bytes, { sampleRate: USUAL_RATE });
  } catch (error) {
    throw new Error(trouble.instrument(name, error));
  }
  const { about, weights, instrumentRate } = prepared;
  const card = {
    name: about.name || name,
    title: about.name || name,
    kind: "your file",
    file: name,
    bytes,
    text: `An instrument file of yours, ${name}. It stays on this machine.`,
    size: `${weights.toLocaleString("en")} numbers; ${instrumentRate} Hz`,
    licence: about.licence,
  };
  page.list = [...page.list.filter((each) => each.name !== card.name), card];
  drawInstruments();
  await choose(card);
}

/** A row below the buttons: a name, and later a player and a link. */
function result(title) {
  const row = document.createElement("div");
  row.append(Object.assign(document.createElement("b"), { textContent: title }), document.createElement("progress"));
  $("results").prepend(row);
  return row;
}

function finish(row, samples, rate, name) {
  const address = URL.createObjectURL(new Blob([wav(samples, rate)], { type: "audio/wav" }));
  const audio = Object.assign(document.createElement("audio"), { controls: true, src: address });
  audio.setAttribute("aria-label", row.firstChild.textContent);
  const link = Object.assign(document.createElement("a"), { href: address, download: name, textContent: "Save wav" });
  const away = Object.assign(document.createElement("button"), { type: "button", textContent: "Remove" });
  away.addEventListener("click", () => {
    row.remove();
    URL.revokeObjectURL(address);
  });
  row.replaceChildren(row.firstChild, audio, link, away);
  sound.watch(audio);
}

$("file").addEventListener("change", () => {
  for (const file of $("file").files) open(file).catch(complainOf);
  $("file").value = "";
});
for (const [name, shown] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
  addEventListener(name, (event) => {
    event.preventDefault();
    if (name !== "dragleave" || !event.relatedTarget) $("drop").hidden = !shown;
    if (name === "drop") for (const file of event.dataTransfer.files) open(file).catch(complainOf);
  });

$("record").addEventListener("click", async () => {
  await started();
  const on = !pressed($("record"));
  press($("record"), on);
  $("record").querySelector("b").textContent = on ? "Stop" : "Record";
  if (on) return sound.record();
  const samples = await sound.recorded();
  const time = new Date().toTimeString().slice(0, 8);
  const row = result(`Recorded at ${time}, ${(samples.length / sound.context.sampleRate).toFixed(1)} s`);
  finish(row, samples, sound.context.sampleRate, `${page.chosen.name}-${time.replaceAll(":", "")}.wav`);
});

// ---- what is seen ----

function reported(report) {
  page.report = report;
  page.reported = performance.now();
}

/** A text that is the same costs nothing. */
function put(id, text) {
  const element = $(id);
  if (element.textContent !== String(text)) element.textContent = text;
}

const decibels = (peak) => Math.max(-60, 20 * Math.log10(Math.max(peak, 1e-6)));
const milliseconds = (seconds) => `${(1000 * seconds).toFixed(1)} ms`;
let levels = [-60, -60];

function draw(now) {
  requestAnimationFrame(draw);
  if (now - page.drawn < FRAME_MS) return; // thirty times a second are smooth enough, and leave the audio its time
  const seconds = Math.min(0.1, (now - (page.drawn ?? now)) / 1000);
  page.drawn = now;
  const { report } = page;
  if (!report || now - page.reported > 200) return;
  const alive = report.outputPeak > 1e-4;
  $("hint").hidden ||= alive;
  const heard = report.inputPeak > 1e-3 && !report.byHand ? report.inputHz : 0;
  roll.step(seconds, sound.spectrum(), sound.context.sampleRate, heard, alive || report.byHand ? report.hz : 0);
  [report.inputPeak, report.outputPeak].forEach((peak, i) => {
    levels[i] = Math.max(decibels(peak), levels[i] - 40 * seconds);
    const bar = $(i ? "out" : "in");
    bar.style.transform = `scaleX(${(levels[i] + 60) / 60})`;
    bar.classList.toggle("hot", levels[i] > -1);
  });
  const sounds = report.hz > 0 && (alive || report.byHand);
  const exact = sounds ? noteOf(report.hz) : 0, near = Math.round(exact), cents = Math.round(100 * (exact - near));
  put("note", sounds ? nameOf(near) : "–");
  put("cents", sounds ? `${cents < 0 ? "−" : "+"}${Math.abs(cents)} ct` : "");
  $("needle").style.transform = `translateX(${sounds ? cents : 0}%)`;
  keyboard.light(sounds ? near : null);
  if (pressed($("melody")) && !report.melody && now - page.reported < 500 && page.sang) press($("melody"), false);
  page.sang = report.melody;
}

function drawNumbers() {
  const { report } = page;
  if (!report) return;
  const says = (hz, db) => (hz > 0 ? `${hz.toFixed(1)} Hz, ${db.toFixed(0)} dB` : "–");
  put("plays", says(report.outputPeak > 1e-4 ? report.hz : 0, report.db));
  const moved = report.octaves ? ` (${report.octaves > 0 ? "+" : "−"}${Math.abs(report.octaves)} oct.)` : "";
  const hears = pressed($("microphone")) ? report.inputHz : 0;
  put("hears", says(hears, report.inputDb) + (hears > 0 ? moved : ""));
  // the audio thread's clock is too coarse for small loads, and good enough to see that it is overcome
  const { cost: tried = 0 } = page.chosen;
  put("load", `${(100 * (report.load > 0.5 ? report.load : tried)).toFixed(1)} %`);
  if (report.load > 0.7) complain("This instrument needs more than this device can give: choose a smaller one.");
}

/** What is asked of the audio itself. Seldom: while it answers, the audio thread may have to wait. */
function drawState() {
  if (!page.report) return;
  put("dropouts", page.report.gaps + (sound.context.playbackStats?.underrunEvents ?? 0));
  drawLatency();
}

function drawLatency() {
  const { delays, sampleRate } = page.prepared ?? {};
  if (!delays) return;
  const analysis = delays.analysis / sampleRate, whole = delays.total / sampleRate;
  const base = sound.context?.baseLatency ?? 0, device = sound.context?.outputLatency ?? 0;
  const known = sound.context !== null;
  const rows = [
    ["Pitch analysis", milliseconds(analysis)],
    ["Instrument", milliseconds(whole - analysis)],
    ["Browser's buffer", known ? milliseconds(base) : "when it plays"],
    ["Sound card", known ? (device ? milliseconds(device) : "not told") : "when it plays"],
    ["Microphone", sound.inputLatency ? milliseconds(sound.inputLatency) : "not told"],
    ["Voice to sound", milliseconds(whole + base + device + (sound.inputLatency ?? 0))],
    ["Key to sound", milliseconds(whole - analysis + base + device)],
  ];
  put("total", rows.at(pressed($("microphone")) ? -2 : -1)[1]);
  const said = JSON.stringify(rows);
  if (said === page.latency) return;
  page.latency = said;
  const made = rows.map(([name, value]) => {
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    return row;
  });
  $("latency").replaceChildren(...made);
}

if (!window.zooLacks) {
  page.loading = begin();
  page.loading.catch(complainOf);
  requestAnimationFrame(draw);
  setInterval(drawNumbers, 120);
  setInterval(drawState, 1000);
  // for the curious and for tests
  window.zoo = { page, sound, knobs: KNOBS };
}
