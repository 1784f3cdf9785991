// The two processors of the audio thread: the instrument, and the tap that a recording is taken from.

import { Core } from "./core.js";

const REPORT_SECONDS = 0.02;
const TAP_SAMPLES = 4096;

class Player extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.core = new Core(new WebAssembly.Module(processorOptions.library), sampleRate);
    this.next = currentFrame; // the frame that comes next, if none is lost
    this.busy = this.blocks = this.lost = this.gaps = 0;
    this.since = this.sinceLoad = 0;
    this.load = 0;
    this.loaded = Date.now();
    this.port.onmessage = ({ data }) => this.obey(data);
    if (processorOptions.prepared) this.take(processorOptions.prepared);
    if (processorOptions.knobs) this.core.set(processorOptions.knobs);
    this.port.postMessage({ ready: true });
  }

  take(prepared) {
    try {
      this.core.load(prepared);
      this.port.postMessage({ loaded: prepared.about.name });
    } catch (error) {
      this.port.postMessage({ failed: String(error.message ?? error) });
    }
  }

  obey({ what, value }) {
    const { core } = this, { notes } = core;
    if (what === "load") this.take(value);
    else if (what === "knobs") core.set(value);
    else if (what === "melody") core.play(value);
    else if (what === "on") notes.on(value.note, value.velocity);
    else if (what === "off") notes.off(value.note);
    else if (what === "bend") notes.bend = value;
    else if (what === "wheel") notes.wheel = value;
    else if (what === "expression") notes.expression = value;
    else if (what === "sustain") notes.sustain(value);
    else if (what === "allOff") notes.allOff();
    else if (what === "reset") notes.reset();
    else if (what === "stop") this.stopped = true;
  }

  process(inputs, outputs) {
    // The only clock here ticks once in a millisecond: summed over many blocks, its ticks show when there is too much to do.
    const began = Date.now();
    if (currentFrame > this.next) {
      this.gaps++;
      this.lost += currentFrame - this.next;
    }
    const [first, ...others] = outputs[0];
    this.next = currentFrame + first.length;
    this.core.process(inputs[0]?.[0] ?? null, first);
    for (const channel of others) channel.set(first);
    this.busy += Date.now() - began;
    this.tell(first.length / sampleRate);
    return !this.stopped;
  }

  tell(seconds) {
    this.since += seconds;
    this.sinceLoad += seconds;
    if (this.since < REPORT_SECONDS) return;
    this.since = 0;
    if (this.sinceLoad >= 1) {
      this.load = this.busy / 1000 / this.sinceLoad;
      this.busy = this.sinceLoad = 0;
    }
    const frame = currentFrame;
    this.port.postMessage({ report: { ...this.core.report(), load: this.load, gaps: this.gaps, lost: this.lost, frame } });
  }
}

class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.taking = false;
    this.filled = 0;
    this.block = new Float32Array(TAP_SAMPLES);
    this.port.onmessage = ({ data }) => {
      this.taking = data === "start";
      if (data === "start") this.filled = 0;
      else this.send(true);
    };
  }

  send(last) {
    const samples = this.block.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage({ samples, last }, [samples.buffer]);
  }

  process(inputs) {
    const samples = inputs[0]?.[0];
    for (let i = 0; this.taking && samples && i < samples.length; i++) {
      this.block[this.filled++] = samples[i];
      if (this.filled === TAP_SAMPLES) this.send(false);
    }
    return true;
  }
}

registerProcessor("zoo-player", Player);
registerProcessor("zoo-tap", Tap);
