// Sound files: what is dropped on the page, through the instrument, and back as wav.

import { Instrument, LARGEST_BLOCK } from "./engine.js";

const SLICE_SECONDS = 0.5; // between two looks at whether the page wants to draw
const TAIL_SECONDS = 0.5;
const TRIAL_MS = 60;

/** Samples in -1..1 as the bytes of a wav file: one channel, 24 bits. */
export function wav(samples, sampleRate) {
  const bytes = new ArrayBuffer(44 + 3 * samples.length), view = new DataView(bytes);
  const word = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 3 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 3 * sampleRate, true);
  view.setUint16(32, 3, true);
  view.setUint16(34, 24, true);
  word(36, "data");
  view.setUint32(40, 3 * samples.length, true);
  for (let i = 0, at = 44; i < samples.length; i++, at += 3) {
    const value = Math.round(Math.max(-1, Math.min(1, samples[i])) * 8388607);
    view.setUint8(at, value & 0xff);
    view.setUint8(at + 1, (value >> 8) & 0xff);
    view.setUint8(at + 2, (value >> 16) & 0xff);
  }
  return bytes;
}

/** Play a recording through an instrument, as fast as it goes, in step with the recording.
 *
 * It is played twice: the first time, the instrument learns which notes and levels there are, and moves them into its
 * range. settings: of `Instrument.set`. told: gets the part that is done, 0 to 1. */
export async function render(module, prepared, samples, { settings = {}, told = () => {} } = {}) {
  const instrument = new Instrument(module, prepared, await WebAssembly.instantiate(module));
  for (const [name, value] of Object.entries(settings)) instrument.set(name, value);
  const late = instrument.delays.total, tail = Math.round(TAIL_SECONDS * instrument.sampleRate);
  const whole = new Float32Array(samples.length + late + tail);
  whole.set(samples);
  const made = new Float32Array(whole.length), slice = SLICE_SECONDS * instrument.sampleRate;
  let done = 0, rest = slice;
  for (let pass = 0; pass < 2; pass++) {
    for (let at = 0; at < whole.length; at += LARGEST_BLOCK) {
      const end = Math.min(whole.length, at + LARGEST_BLOCK);
      instrument.process(whole.subarray(at, end), made.subarray(at, end));
      done += end - at;
      rest -= end - at;
      if (rest < 0) {
        told(done / (2 * whole.length));
        await new Promise((resolve) => setTimeout(resolve));
        rest = slice;
      }
    }
  }
  return made.subarray(late);
}

/** What an instrument costs on this machine: time over the time that is played, by a trial of some hundredths of a second.
 *
 * An audio thread's only clock ticks once in a millisecond; where a browser wakes in step with it, the ticks fall between
 * the blocks, or always into them. */
export async function cost(module, prepared) {
  const instrument = new Instrument(module, prepared, await WebAssembly.instantiate(module));
  const { sampleRate, range } = prepared;
  const block = new Float32Array(128), hz = range ? Math.sqrt(range.hz[0] * range.hz[1]) : 300;
  let played = 0, quickest = Infinity;
  const deadline = performance.now() + TRIAL_MS;
  while (performance.now() < deadline) {
    const began = performance.now(), samples = 16 * block.length;
    for (let at = 0; at < samples; at += block.length) {
      for (let i = 0; i < block.length; i++) block[i] = 0.2 * Math.sin((2 * Math.PI * hz * (played + at + i)) / sampleRate);
      instrument.process(block, block);
    }
    played += samples;
    quickest = Math.min(quickest, (performance.now() - began) / 1000 / (samples / sampleRate));
  }
  return quickest;
}

/** One channel of an AudioBuffer: the mean of all. */
export function mono(buffer) {
  const made = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < made.length; i++) made[i] += samples[i] / buffer.numberOfChannels;
  }
  return made;
}
