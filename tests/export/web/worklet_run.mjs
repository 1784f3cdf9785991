// Runs the page's worklet in node, as a browser would: node worklet_run.mjs PAGE_FOLDER JOB.json
// job: {instrument, input, output, sampleRate, block, lowestHz, seed, messages: [[sample, message], ...]}
// Prints JSON: what it reported last, the delays, the microseconds of each block, and those of processor time in all.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [folder, jobFile] = process.argv.slice(2);
const job = JSON.parse(readFileSync(jobFile));
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const { prepare } = await load("engine.js");

// what a worklet finds around it
globalThis.sampleRate = job.sampleRate;
globalThis.currentFrame = 0;
const processors = {};
globalThis.registerProcessor = (name, kind) => (processors[name] = kind);
globalThis.AudioWorkletProcessor = class {
  constructor() {
    this.port = { postMessage: (message) => said.push(message) };
  }
};
const said = [];
await load("worklet.js");

const library = readFileSync(`${folder}/zoo_player.wasm`);
const module = await WebAssembly.compile(library);
const options = { sampleRate: job.sampleRate, lowestHz: job.lowestHz, seed: job.seed ?? 0 };
const prepared = await prepare(module, new Uint8Array(readFileSync(job.instrument)), options);
const worklet = new processors["zoo-player"]({ processorOptions: { library, prepared } });
const input = new Float32Array(new Uint8Array(readFileSync(job.input)).buffer);
const made = new Float32Array(input.length);
const times = [], used = process.cpuUsage();
const messages = [...(job.messages ?? [])];
while (currentFrame < input.length) {
  const end = Math.min(input.length, currentFrame + job.block);
  while (messages.length && messages[0][0] <= currentFrame) worklet.port.onmessage({ data: messages.shift()[1] });
  const output = new Float32Array(end - currentFrame), silent = job.silent ? [] : [input.slice(currentFrame, end)];
  const began = process.hrtime.bigint();
  worklet.process([silent], [[output]]);
  times.push(Number(process.hrtime.bigint() - began) / 1000);
  made.set(output, currentFrame);
  globalThis.currentFrame = end;
}
writeFileSync(job.output, new Uint8Array(made.buffer));
const { user, system } = process.cpuUsage(used);
const report = said.filter((message) => message.report).pop()?.report;
console.log(JSON.stringify({ report, delays: prepared.delays, about: prepared.about, times, cpu: user + system }));
