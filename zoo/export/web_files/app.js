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
const page = { list: [], library: null, module: null, chosen: null, choices: 0, lowest: LOWEST_INPUT_HZ, report: null, reported: 0 };
const sound = new Sound({ reported, failed: (message) => complain(trouble.refused(message)), unplugged });
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
  if (!answer) throw new Error(trouble.unreached(file));
  if (!answer.ok) throw new Error(trouble.missing(file, answer.status));
  return new Uint8Array(await answer.arrayBuffer());
}

// ---- instruments ----

async function begin() {
  const [library, list] = await Promise.all([fetched("zoo_player.wasm"), fetched("instruments.json")]);
  page.library = library;
  page.module = await WebAssembly.compile(library);
  page.list = JSON.parse(new TextDecoder().decode(list)).instruments;
  const wanted = location.hash.slice(1);
  drawInstruments();
  // the others, and files of one's own, play where this one does not
  await choose(page.list.find(({ name }) => encodeURIComponent(name) === wanted) ?? page.list[0]).catch(complainOf);
  document.documentElement.dataset.ready = "yes";
}

function drawInstruments() {
  const choices = page.list.map((each) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "instrument", value: each.name });
    input.addEventListener("change", () => choose(each).catch(complainOf));
    const title = Object.assign(document.createElement("b"), { textContent: each.title || each.name });
    const kind = Object.assign(document.createElement("small"), { textContent: each.kind ?? each.name });
    label.append(input, title, kind);
    return label;
  });
  $("instruments").replaceChildren($("instruments").firstElementChild, ...choices);
  markChosen();
}

function markChosen() {
  for (const input of $("instruments").querySelectorAll("input")) {
    input.checked = input.value === page.chosen?.name;
    input.parentElement.classList.toggle("chosen", input.checked);
  }
}

/** Play another instrument from now on. Of several that are on their way, the last one counts. */
async function choose(card) {
  const choice = ++page.choices;
  complain("");
  let prepared;
  try {
    card.bytes ??= await fetched(card.file);
    // once more where the audio begins meanwhile, at a rate of its own
    do prepared = await readied(card, rate());
    while (prepared.sampleRate !== rate());
  } catch (error) {
    if (choice === page.choices) markChosen(); // so that it can be pressed again
    throw error;
  }
  if (choice !== page.choices) return;
  page.chosen = card;
  markChosen();
  keyboard.setHome(prepared.range?.hz.map((hz, i) => (i ? Math.floor : Math.ceil)(noteOf(hz))));
  show($("card"), card);
  history.replaceState(null, "", `#${encodeURIComponent(card.name)}`);
  page.prepared = prepared;
  if (sound.context) sound.load(prepared);
  drawLatency();
  card.cost ??= await cost(page.module, prepared);
}

const rate = () => sound.context?.sampleRate ?? USUAL_RATE;

/** An instrument, prepared: the chosen one, if there is one. */
async function readied(card, sampleRate) {
  if (!card) throw new Error(trouble.NONE_CHOSEN);
  try {
    return await prepare(page.module, card.bytes, { sampleRate, lowestHz: page.lowest });
  } catch (error) {
    throw new Error(trouble.instrument(card.file, error));
  }
}

/** Begin with the audio, where that has not happened: a browser lets it happen only when somebody presses something. */
function started() {
  page.starting ??= (async () => {
    await page.loading;
    let first;
    await sound.start(page.library, async (sampleRate) => (page.prepared = await readied((first = page.chosen), sampleRate)));
    if (page.chosen !== first) await choose(page.chosen).catch(complainOf); // meanwhile
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

/** What a press does; what goes wrong is told. */
const onPress = (id, act) => $(id).addEventListener("click", () => act().catch(complainOf));

onPress("melody", async () => {
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
    microphoneOff();
    throw new Error(trouble.microphone(error));
  }
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "audioinput");
  $("device").replaceChildren(...devices.map(({ label, deviceId: value }) => new Option(label || "microphone", value)));
  if (sound.deviceId) $("device").value = sound.deviceId;
  $("inputs").hidden = false;
  drawLatency();
}

function microphoneOff() {
  sound.deafen();
  press($("microphone"), false);
  $("inputs").hidden = true;
}

function unplugged() {
  microphoneOff();
  complain(trouble.UNPLUGGED);
}

onPress("microphone", async () => {
  if (pressed($("microphone"))) return microphoneOff();
  complain("");
  await microphoneOn();
  press($("microphone"), true);
});
$("device").addEventListener("change", () => microphoneOn($("device").value).catch(complainOf));
$("lowest").addEventListener("change", () => {
  page.lowest = Number($("lowest").value);
  choose(page.chosen).catch(complainOf);
});

onPress("midi", async () => {
  if (!navigator.requestMIDIAccess) return complain(trouble.NO_MIDI);
  complain("");
  await started();
  try {
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
  if (/\.zoo$/i.test(file.name)) return adopt(file.name, new Uint8Array(bytes));
  await page.loading;
  const { chosen } = page, sampleRate = rate(), prepared = await readied(chosen, sampleRate);
  const row = result(`${file.name}, as ${chosen.title || chosen.name}`);
  let recording;
  try {
    recording = mono(await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(bytes));
  } catch {
    row.remove();
    throw new Error(trouble.recording(file.name));
  }
  const { transpose, loudness, room, mix, gate } = knobs.values();
  const made = await render(page.module, prepared, recording, {
    settings: { transpose, loudness, reverb: room, gate },
    told: (part) => (row.querySelector("progress").value = part),
  });
  for (let i = 0; mix < 1 && i < recording.length; i++) made[i] = mix * made[i] + (1 - mix) * recording[i];
  finish(row, made, sampleRate, `${file.name.replace(/\.\w+$/, "")}-${chosen.name}.wav`);
}

async function adopt(file, bytes) {
  await page.loading;
  const { about, weights, instrumentRate } = await readied({ file, bytes }, rate());
  const card = {
    name: about.name || file,
    title: about.name || file,
    kind: "your file",
    file,
    bytes,
    text: `An instrument file of yours, ${file}. It stays on this machine.`,
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

onPress("record", async () => {
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
