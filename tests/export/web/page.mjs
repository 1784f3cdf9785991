// The page's own modules, from the folder that the environment names, and what tests need to play with them.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = process.env.ZOO_PAGE;
export const page = (name) => import(pathToFileURL(`${folder}/${name}`));
export const bytes = (name) => new Uint8Array(readFileSync(`${folder}/${name}`));
export const library = () => WebAssembly.compile(bytes("zoo_player.wasm"));

/** Seven harmonics, as a voice has many more. */
export function tone(hz, seconds, { rate = 48000, amplitude = 0.2 } = {}) {
  const each = (turns) => [1, 2, 3, 4, 5, 6, 7].reduce((sum, k) => sum + Math.sin(2 * Math.PI * k * turns) / k, 0);
  return Float32Array.from({ length: rate * seconds }, (_, i) => amplitude * each((hz * i) / rate));
}

/** Play an input through `core` in blocks of 128; `before(core, sample)` may change something before each. */
export function played(core, input, before = () => {}) {
  const made = new Float32Array(input.length);
  for (let at = 0; at < input.length; at += 128) {
    before(core, at);
    core.process(input.subarray(at, at + 128), made.subarray(at, Math.min(made.length, at + 128)));
  }
  return made;
}

export const rms = (samples) => Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);

/** The pitch of a stretch, by the best lag. */
export function pitch(samples, { rate = 48000, lowest = 100, highest = 1500 } = {}) {
  let best = 0, most = -Infinity;
  const sums = [];
  for (let lag = Math.floor(rate / highest); lag <= rate / lowest; lag++) {
    let sum = 0, own = 0, other = 0;
    for (let i = 0; i + lag < samples.length; i++) {
      sum += samples[i] * samples[i + lag];
      own += samples[i] ** 2;
      other += samples[i + lag] ** 2;
    }
    sums[lag] = sum / Math.sqrt(own * other + 1e-20) - 0.02 * Math.log2(lag);
    if (sums[lag] > most) [most, best] = [sums[lag], lag];
  }
  const [a, b, c] = [sums[best - 1] ?? sums[best], sums[best], sums[best + 1] ?? sums[best]];
  const fine = a - 2 * b + c ? (0.5 * (a - c)) / (a - 2 * b + c) : 0;
  return rate / (best + fine);
}
