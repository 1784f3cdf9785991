// The audio thread's work: instruments, knobs, switching, files; and what is said of files that are none.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, library, page, pitch, played, rms, tone } from "./page.mjs";

const { prepare, InstrumentError } = await page("engine.js");
const { Core } = await page("core.js");
const { melody } = await page("melody.js");
const { RANGE_DB } = await page("notes.js");
const { cost, render, wav, mono } = await page("sound.js");
const { rowsOf } = await page("roll.js");
const module = await library();
const RATE = 48000;
const violin = await prepare(module, bytes("instruments/violin.zoo"), { sampleRate: RATE });
const flute = await prepare(module, bytes("instruments/flute.zoo"), { sampleRate: RATE });
const cents = (a, b) => Math.abs(1200 * Math.log2(a / b));

function cored(prepared = violin) {
  const core = new Core(module, RATE);
  core.load(prepared);
  return core;
}

test("a voice comes out as the instrument at the same pitch", () => {
  const core = cored();
  const made = played(core, tone(440, 1));
  assert.ok(cents(pitch(made.subarray(30000, 36000)), 440) < 10);
  assert.ok(rms(made.subarray(30000)) > 0.01);
  const { inputHz, hz, byHand } = core.report();
  assert.ok(cents(inputHz, 440) < 5 && cents(hz, 440) < 5 && !byHand);
});

test("without a microphone and notes it is silent", () => {
  const core = cored(), made = new Float32Array(128).fill(1);
  for (let i = 0; i < 500; i++) core.process(null, made);
  assert.equal(Math.max(...made.map(Math.abs)), 0);
});

test("a note plays over the microphone, and then it listens again", () => {
  const core = cored();
  const made = played(core, tone(440, 2), (core, at) => {
    if (at === 24064) core.notes.on(76, 0.9);
    if (at === 48000) core.notes.off(76);
  });
  assert.ok(cents(pitch(made.subarray(36000, 42000)), 659.3) < 25);
  assert.ok(cents(pitch(made.subarray(84000, 90000)), 440) < 10);
});

test("the melody plays its notes and ends", () => {
  const core = cored(), silence = new Float32Array(RATE * 17);
  core.play(melody());
  const notes = new Set();
  const made = played(core, silence, (core, at) => {
    if (at % 12800 === 0) notes.add(core.report().note);
  });
  for (const note of [69, 72, 76, 64]) assert.ok(notes.has(note), `note ${note} among ${[...notes]}`);
  assert.equal(core.report().melody, false);
  assert.ok(rms(made.subarray(-4800)) < 1e-4);
});

test("transpose, loudness, dry sound and volume do what they say", () => {
  const sound = tone(440, 1);
  const after = (knobs) => {
    const core = cored();
    core.set(knobs);
    return played(core, sound).subarray(36000, 42000);
  };
  const plain = after({});
  assert.ok(cents(pitch(after({ transpose: -5 })), 440 * 2 ** (-5 / 12)) < 10);
  assert.ok(rms(after({ loudness: 10 })) > 1.3 * rms(plain));
  assert.ok(Math.abs(rms(after({ gain: 0.5 })) / rms(plain) - 0.5) < 0.02);
  const dry = after({ mix: 0 });
  assert.ok(dry.every((x, i) => Math.abs(x - sound[36000 + i]) < 1e-3));
});

test("dynamics spread the loudness of what is heard", () => {
  const spread = (dynamics) => {
    const core = cored();
    core.set({ dynamics });
    const sound = tone(440, 4).map((x, i) => x * (Math.floor(i / 24000) % 2 ? 1 : 0.1));
    const levels = [];
    played(core, sound, (core, at) => at % 12800 === 0 && at > 96000 && levels.push(core.report().db));
    return Math.max(...levels) - Math.min(...levels);
  };
  assert.ok(spread(0.3) < 0.7 * spread(1));
});

test("switching while playing fades: no jump, and then it is the other instrument", () => {
  const core = cored();
  const made = played(core, tone(440, 1.5), (core, at) => at === 36096 && core.load(flute));
  const step = (from, to) => Math.max(...made.subarray(from, to).map((x, i) => Math.abs(x - made[from + i - 1])));
  assert.ok(step(36000, 40000) < 2 * Math.max(step(24000, 36000), step(44000, 72000)));
  assert.equal(core.report().name, flute.about.name);
  assert.equal(core.leaving, null);
});

test("who switches again while one fades hears no jump either, and then the newest", () => {
  const core = cored();
  const made = played(core, tone(440, 1.5), (core, at) => {
    if (at === 36096 || at === 38528 || at === 39936) core.load(at === 38528 ? violin : flute);
  });
  const step = (from, to) => Math.max(...made.subarray(from, to).map((x, i) => Math.abs(x - made[from + i - 1])));
  assert.ok(step(36000, 60000) < 2 * Math.max(step(24000, 36000), step(60000, 72000)));
  assert.equal(core.report().name, flute.about.name);
  assert.equal(core.leaving, null);
});

test("an instrument of which no range is known has none of the one before", () => {
  const core = cored();
  const before = core.notes.range;
  played(core, tone(440, 0.3), (core, at) => at === 0 && core.load({ ...flute, range: null }));
  assert.notDeepEqual(before, RANGE_DB);
  assert.deepEqual(core.notes.range, RANGE_DB);
});

test("an instrument that was prepared for another rate is refused: it would be out of tune", () => {
  const core = new Core(module, 44100);
  assert.throws(() => core.load(violin), (error) => error instanceof InstrumentError && /48000.*44100.*sampleRate/.test(error.message));
});

test("a recording is rendered in step with itself, and has its end", async () => {
  const sound = new Float32Array(RATE);
  sound.set(tone(440, 0.5), 12000);
  const told = [];
  const made = await render(module, violin, sound, { told: (part) => told.push(part) });
  const begins = made.findIndex((x) => Math.abs(x) > 0.01);
  assert.ok(Math.abs(begins - 12000) < 0.04 * RATE, `begins at ${begins}`);
  assert.ok(rms(made.subarray(20000, 30000)) > 10 * rms(made.subarray(47000, 48000)));
  assert.ok(made.length > sound.length && told.length > 1 && told.every((part) => part > 0 && part <= 1));
});

test("a trial tells what an instrument costs here", async () => {
  const part = await cost(module, violin);
  assert.ok(part > 0.0005 && part < 1, `${part}`);
});

test("a wav has a head that players read, and samples that are kept and clipped", () => {
  const view = new DataView(wav(Float32Array.of(0, 0.5, -0.5, 2, -2), 44100));
  const word = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  assert.deepEqual([word(0), word(8), word(36), view.getUint32(24, true), view.getUint32(40, true)], ["RIFF", "WAVE", "data", 44100, 15]);
  const sample = (i) => ((view.getUint8(44 + 3 * i) | (view.getUint8(45 + 3 * i) << 8) | (view.getUint8(46 + 3 * i) << 16)) << 8) >> 8;
  assert.deepEqual([0, 1, 2, 3, 4].map(sample), [0, 4194304, -4194303, 8388607, -8388607]);
});

test("channels are mixed to one", () => {
  const channels = [Float32Array.of(1, 0), Float32Array.of(0, 0.5)];
  const made = mono({ length: 2, numberOfChannels: 2, getChannelData: (i) => channels[i] });
  assert.deepEqual([...made], [0.5, 0.25]);
});

test("files that are no instruments are refused in words", async () => {
  const good = bytes("instruments/violin.zoo");
  const broken = good.slice();
  broken[broken.length >> 1] ^= 1;
  const cases = [[good.slice(0, 900), /cut short|too short|ends/], [new TextEncoder().encode("<!doctype html>".repeat(50)), /instrument/], [broken, /damaged/], [new Uint8Array(0), /./]];
  for (const [file, words] of cases)
    await assert.rejects(prepare(module, file, { sampleRate: RATE }), (error) => error instanceof InstrumentError && words.test(error.message));
  const newer = good.slice();
  newer[8]++;
  await assert.rejects(prepare(module, newer, { sampleRate: RATE }), /make this page anew/);
  await assert.rejects(prepare(module, good, { sampleRate: 1 }), /1 Hz.*4000 to 768000/);
  await assert.rejects(prepare(module, good), /undefined Hz/);
  for (const lowestHz of [20, 1333]) await prepare(module, good, { sampleRate: RATE, lowestHz });
  for (const lowestHz of [19, 1334]) await assert.rejects(prepare(module, good, { sampleRate: RATE, lowestHz }), /lowestHz 20 to 1333/);
});

test("a file's bytes are taken as fetch gives them", async () => {
  const { buffer, byteOffset, length } = bytes("instruments/violin.zoo");
  const { memory } = await prepare(module, buffer.slice(byteOffset, byteOffset + length), { sampleRate: RATE });
  assert.deepEqual(new Uint8Array(memory), new Uint8Array(violin.memory));
});

test("where a file is at home is read from it", () => {
  assert.deepEqual(violin.range.hz.map(Math.round), violin.about.range.f0_hz.map((_, i) => Math.round(violin.about.quantiles.f0_hz[i ? "0.99" : "0.01"])));
  assert.ok(violin.range.db.every((db, i, all) => i === 0 || db > all[i - 1]));
});

test("every row of the picture shows bins of its own pitch", () => {
  const rows = rowsOf(268, 2048, 48000);
  assert.equal(rows.length, 268);
  for (const [first, last] of rows) assert.ok(first <= last && first >= 0 && last < 2048);
  assert.ok(rows[0][1] > rows[267][0]);
});
