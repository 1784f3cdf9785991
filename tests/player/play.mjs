// Plays an instrument file with the WebAssembly build: node play.mjs zoo_player.wasm NAME.zoo curves.f32 audio.f32
// curves: f0_hz and then loudness_db, float32. Prints the median microseconds per frame.
import { readFileSync, writeFileSync } from "node:fs";
const [wasm, name, curves, out] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(wasm), {});
const zoo = instance.exports;
let top = zoo.__heap_base.value ?? zoo.__heap_base;
const place = (bytes) => {
  const begin = Math.ceil(top / 64) * 64;
  top = begin + bytes;
  const missing = top - zoo.memory.buffer.byteLength;
  if (missing > 0) zoo.memory.grow(Math.ceil(missing / 65536));
  return begin;
};
const copy = (data) => {
  const begin = place(data.byteLength);
  new Uint8Array(zoo.memory.buffer).set(data, begin);
  return begin;
};
const data = readFileSync(name);
const file = copy(data);
const info = place(64);
const code = zoo.zoo_check(file, data.length, info);
if (code) throw new Error(`error ${code}`);
const hop = new Uint32Array(zoo.memory.buffer, info, 7)[1];
const bytes = zoo.zoo_player_bytes(file, data.length, 1);
const player = zoo.zoo_player_init(place(bytes), bytes, file, data.length, 1, 0n, 0);
const values = readFileSync(curves);
const frames = values.length / 8;
const begin = copy(values);
const pointers = place(8);
const audio = place(4 * hop);
const made = new Float32Array(frames * hop);
const times = [];
for (let t = 0; t < frames; t++) {
  new Uint32Array(zoo.memory.buffer, pointers, 2).set([begin + 4 * t, begin + 4 * (frames + t)]);
  const started = process.hrtime.bigint();
  if (zoo.zoo_player_process(player, pointers, 0, 1, audio)) throw new Error("process");
  times.push(Number(process.hrtime.bigint() - started) / 1000);
  made.set(new Float32Array(zoo.memory.buffer, audio, hop), t * hop);
}
writeFileSync(out, new Uint8Array(made.buffer));
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
console.log(median(times.slice(frames >> 2)).toFixed(1));
