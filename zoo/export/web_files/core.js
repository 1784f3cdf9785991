// What the audio thread does in each block: notes or microphone in, instrument out. No page, no worklet: node tests it.

import { Instrument, InstrumentError } from "./engine.js";
import { Notes, RANGE_DB } from "./notes.js";

const FADE_SECONDS = 0.04; // from one instrument to the next
const HEAR_SECONDS = 0.08; // before that: what begins in the middle of a tone hears a click first
const VIBRATO_HZ = 5.3;
const GLIDE_SECONDS = 0.03; // of the dry sound's level

export class Core {
  constructor(module, sampleRate) {
    this.module = module;
    this.sampleRate = sampleRate;
    this.notes = new Notes();
    this.knobs = { transpose: 0, loudness: 0, dynamics: 1, vibrato: 0, room: 1, mix: 1, gate: -65, gain: 1 };
    this.playing = null;
    this.leaving = null;
    this.waiting = null; // what plays next, while a fade goes on
    this.faded = 0; // samples of a fade; negative while the next instrument only hears
    this.wet = 1;
    this.phase = 0;
    this.melody = null;
    this.scratch = new Float32Array(4096);
    this.inputPeak = this.outputPeak = 0;
  }

  /** Begin to play another instrument; the one before fades out under it. While one does, the newest waits.
   *
   * Throws InstrumentError where it was prepared for another rate: it would be out of tune. */
  load(prepared) {
    if (prepared.sampleRate !== this.sampleRate)
      throw new InstrumentError(
        `it was prepared for ${prepared.sampleRate} Hz, and the audio runs at ${this.sampleRate}: give prepare the context's sampleRate`,
      );
    if (this.leaving) {
      this.waiting = prepared;
      return;
    }
    const next = new Instrument(this.module, prepared);
    this.leaving = this.playing;
    this.playing = next;
    this.faded = -HEAR_SECONDS * this.sampleRate;
    this.notes.range = next.range?.db ?? RANGE_DB;
    this.apply();
  }

  set(knobs) {
    Object.assign(this.knobs, knobs);
    this.notes.dynamics = this.knobs.dynamics;
    this.notes.vibrato = this.knobs.vibrato;
    this.apply();
  }

  apply() {
    for (const each of [this.playing, this.leaving]) {
      each?.set("reverb", this.knobs.room);
      each?.set("gate", this.knobs.gate);
      each?.set("gain", this.knobs.gain);
    }
  }

  /** Play notes by themselves: `[[begins, lasts, note, velocity], ...]`, in seconds from now; null stops. */
  play(melody) {
    this.notes.allOff();
    this.melody = melody && {
      time: 0,
      at: 0,
      events: melody
        .flatMap(([begins, lasts, note, velocity]) => [[begins, note, velocity], [begins + lasts, note, 0]])
        .sort((a, b) => a[0] - b[0] || b[2] - a[2]), // tied: a note begins before the one before it ends
    };
  }

  /** Play a block; `input` may be null, `output` is written. */
  process(input, output) {
    const samples = output.length, seconds = samples / this.sampleRate;
    this.inputPeak = Math.max(this.inputPeak, peak(input));
    if (!this.playing) {
      output.fill(0);
      return;
    }
    this.advance(seconds);
    this.drive(this.playing);
    this.playing.process(input, output);
    if (this.leaving) this.crossfade(input, output);
    this.blend(input, output, seconds);
    this.outputPeak = Math.max(this.outputPeak, peak(output));
  }

  advance(seconds) {
    const melody = this.melody;
    if (melody) {
      while (melody.at < melody.events.length && melody.events[melody.at][0] <= melody.time) {
        const [, note, velocity] = melody.events[melody.at++];
        if (velocity) this.notes.on(note, velocity);
        else this.notes.off(note);
      }
      melody.time += seconds;
      if (melody.at === melody.events.length && !this.notes.sounding) this.melody = null;
    }
    this.notes.advance(seconds);
    this.phase = (this.phase + VIBRATO_HZ * seconds) % 1;
  }

  drive(instrument) {
    const { knobs, notes } = this;
    if (notes.sounding) {
      instrument.drive(notes.hz, notes.db);
      instrument.set("transpose", knobs.transpose);
      instrument.set("loudness", knobs.loudness);
      return;
    }
    instrument.listen();
    instrument.read();
    const middle = instrument.range ? instrument.range.db[2] : -40;
    const swell = (knobs.dynamics - 1) * (instrument.inputDb + instrument.shiftDb - middle);
    instrument.set("loudness", Math.max(-80, Math.min(80, knobs.loudness + swell)));
    instrument.set("transpose", knobs.transpose + knobs.vibrato * Math.sin(2 * Math.PI * this.phase));
  }

  crossfade(input, output) {
    const before = this.scratch.subarray(0, output.length), whole = FADE_SECONDS * this.sampleRate;
    this.drive(this.leaving);
    this.leaving.process(input, before);
    for (let i = 0; i < output.length; i++) {
      const part = Math.max(0, Math.min(1, ++this.faded / whole));
      output[i] = part * output[i] + (1 - part) * before[i];
    }
    if (this.faded < whole) return;
    this.leaving = null;
    if (this.waiting) this.load(this.waiting);
    this.waiting = null;
  }

  blend(input, output, seconds) {
    const step = (this.knobs.mix - this.wet) * Math.min(1, seconds / GLIDE_SECONDS) / output.length;
    if (this.wet === 1 && step === 0) return;
    for (let i = 0; i < output.length; i++) {
      this.wet += step;
      output[i] = this.wet * output[i] + (input ? (1 - this.wet) * input[i] : 0);
    }
    if (Math.abs(this.knobs.mix - this.wet) < 1e-4) this.wet = this.knobs.mix;
  }

  /** What was heard and played since the last report. */
  report() {
    const { playing, notes } = this;
    playing?.read();
    const said = {
      name: playing?.name ?? "",
      inputPeak: this.inputPeak,
      outputPeak: this.outputPeak,
      inputHz: playing?.inputHz ?? 0,
      inputDb: playing?.inputDb ?? -80,
      hz: playing?.hz ?? 0,
      db: playing?.db ?? -80,
      octaves: notes.sounding ? 0 : playing?.octaves ?? 0,
      note: notes.note,
      byHand: notes.sounding,
      melody: this.melody !== null,
    };
    this.inputPeak = this.outputPeak = 0;
    return said;
  }
}

function peak(samples) {
  let most = 0;
  for (let i = 0; samples && i < samples.length; i++) most = Math.max(most, Math.abs(samples[i]));
  return most;
}
