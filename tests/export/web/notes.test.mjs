// How notes become pitch and loudness, and what MIDI messages mean.
import assert from "node:assert/strict";
import { test } from "node:test";
import { page } from "./page.mjs";

const { Notes, hzOf } = await page("notes.js");
const { read } = await page("midi.js");
const { melody } = await page("melody.js");
const BLOCK = 128 / 48000;

function advance(notes, seconds) {
  const heard = [];
  for (let t = 0; t < seconds; t += BLOCK) {
    notes.advance(BLOCK);
    heard.push([notes.hz, notes.db, notes.sounding]);
  }
  return heard;
}
const cents = (a, b) => 1200 * Math.log2(a / b);

test("a note sounds at its pitch, within what makes it alive", () => {
  const notes = new Notes();
  notes.on(69, 0.7);
  for (const [hz] of advance(notes, 2)) assert.ok(Math.abs(cents(hz, 440)) < 20);
});

test("before the first note and after the last there is silence", () => {
  const notes = new Notes();
  assert.equal(advance(notes, 0.1).some(([, , sounding]) => sounding), false);
  notes.on(60);
  advance(notes, 0.5);
  notes.off(60);
  const after = advance(notes, 1);
  assert.equal(after[0][2], true); // it is let go, not cut off
  assert.deepEqual(after.at(-1), [0, -80, false]);
});

test("levels lie in the instrument's range and grow with velocity and dynamics", () => {
  const level = (velocity, dynamics = 1) => {
    const notes = new Notes();
    notes.range = [-70, -60, -45, -35, -30];
    notes.dynamics = dynamics;
    notes.on(69, velocity);
    return Math.max(...advance(notes, 0.3).map(([, db]) => db));
  };
  const levels = [0.05, 0.3, 0.6, 1].map((velocity) => level(velocity));
  assert.deepEqual(levels, [...levels].sort((a, b) => a - b));
  assert.ok(levels[0] > -62 && levels[3] < -30 && levels[3] - levels[0] > 15);
  assert.ok(level(1, 1.5) > level(1) && level(0.1, 1.5) < level(0.1));
});

test("tied notes glide without a new attack, notes after a rest are attacked", () => {
  const notes = new Notes();
  notes.on(60, 0.8);
  const steady = advance(notes, 0.5).at(-1)[1];
  notes.on(67, 0.8);
  const tied = advance(notes, 0.1);
  assert.ok(Math.min(...tied.map(([, db]) => db)) > steady - 4);
  assert.ok(tied[0][0] < hzOf(62) && Math.abs(cents(tied.at(-1)[0], hzOf(67))) < 20);
  notes.off(60);
  notes.off(67);
  advance(notes, 1);
  notes.on(67, 0.8);
  assert.ok(advance(notes, 0.01)[0][1] < steady - 10);
});

test("letting a tied note go returns to the one that is still held", () => {
  const notes = new Notes();
  notes.on(60);
  notes.on(64);
  advance(notes, 0.2);
  notes.off(64);
  assert.ok(Math.abs(cents(advance(notes, 0.3).at(-1)[0], hzOf(60))) < 20);
});

test("the pedal holds notes until it is let go", () => {
  const notes = new Notes();
  notes.on(60);
  notes.sustain(true);
  notes.off(60);
  assert.equal(advance(notes, 1).at(-1)[2], true);
  notes.sustain(false);
  assert.equal(advance(notes, 1).at(-1)[2], false);
});

test("bend moves the pitch, the wheel gives vibrato, expression takes loudness away", () => {
  const notes = new Notes();
  notes.on(69);
  advance(notes, 0.2);
  notes.bend = 2;
  assert.ok(Math.abs(cents(advance(notes, 0.05).at(-1)[0], hzOf(71))) < 15);
  notes.bend = 0;
  const swing = () => {
    const heard = advance(notes, 0.5).map(([hz]) => cents(hz, 440));
    return Math.max(...heard) - Math.min(...heard);
  };
  const still = swing();
  notes.wheel = 1;
  assert.ok(swing() > still + 60);
  const loud = notes.db;
  notes.expression = 0.3;
  assert.ok(advance(notes, 0.1).at(-1)[1] < loud - 10);
});

test("a sequencer that resets its controllers leaves the instrument in tune", () => {
  const notes = new Notes();
  Object.assign(notes, { bend: 2, wheel: 1, expression: 0 });
  notes.sustain(true);
  notes.on(69);
  notes.off(69);
  notes.reset();
  assert.equal(advance(notes, 1).at(-1)[2], false);
  notes.on(69, 0.8);
  const [hz, db] = advance(notes, 0.3).at(-1), fresh = new Notes();
  fresh.on(69, 0.8);
  assert.ok(Math.abs(cents(hz, 440)) < 15);
  assert.ok(Math.abs(db - advance(fresh, 0.3).at(-1)[1]) < 0.5);
});

test("MIDI messages are read as keyboards send them", () => {
  assert.deepEqual(read([0x93, 60, 127]), { what: "on", value: { note: 60, velocity: 1 } });
  assert.deepEqual(read([0x80, 60, 64]), { what: "off", value: { note: 60 } });
  assert.deepEqual(read([0x90, 60, 0]), { what: "off", value: { note: 60 } });
  assert.deepEqual(read([0xe0, 0, 64]), { what: "bend", value: 0 });
  assert.equal(read([0xe0, 0, 0]).value, -2);
  assert.deepEqual(read([0xb0, 1, 127]), { what: "wheel", value: 1 });
  assert.deepEqual(read([0xb0, 11, 0]), { what: "expression", value: 0 });
  assert.deepEqual(read([0xb0, 64, 127]), { what: "sustain", value: true });
  assert.equal(read([0xb0, 123, 0]).what, "allOff");
  assert.deepEqual(read([0xb0, 121, 0]), { what: "reset" });
  for (const other of [[0xf8], [0xc0, 5], [0xb0, 7, 100], [0xfe]]) assert.equal(read(other), null);
});

test("the melody is one voice, in order, and can be moved", () => {
  const notes = melody(), moved = melody(12);
  for (let i = 1; i < notes.length; i++) {
    assert.ok(notes[i][0] > notes[i - 1][0]);
    assert.ok(notes[i - 1][0] + notes[i - 1][1] <= notes[i][0] + 0.03);
  }
  assert.deepEqual(moved.map(([, , note]) => note - 12), notes.map(([, , note]) => note));
});
