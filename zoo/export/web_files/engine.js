// The player library in WebAssembly: makes an instrument file ready to play, and plays it.
//
// `prepare` runs where there is time (the page): it checks the file and lays the instrument out in a memory of its own.
// `Instrument` runs where there is none (the audio thread): it takes a copy of that memory and plays at once.
// Nothing here needs a page: the same code runs in an AudioWorklet, in a page and in node.

export const SETTINGS = { transpose: 0, loudness: 1, inputGain: 2, gate: 3, reverb: 4, gain: 5 };
export const LARGEST_BLOCK = 2048; // samples per call
export const LOWEST_INPUT_HZ = 80; // most voices stay above
const NEWER_FORMAT = 3; // ZOO_ERROR_NEWER
const WRONG_INPUTS = 9; // ZOO_ERROR_ARGUMENT

export class InstrumentError extends Error {}

/** Check an instrument file and lay it out in memory. Gives what `Instrument` takes; it can be sent to a worklet.
 *
 * module: the compiled library. bytes: the file's, as ArrayBuffer or Uint8Array. options: sampleRate of input and
 * output; lowestHz of the input (the higher, the sooner a pitch is heard); fit: whether the input is moved into the
 * instrument's range. Throws InstrumentError if the file is not sound. */
export async function prepare(module, bytes, { sampleRate, lowestHz = LOWEST_INPUT_HZ, fit = true, seed = 0 } = {}) {
  const file = ArrayBuffer.isView(bytes) ? bytes : new Uint8Array(bytes);
  const zoo = (await WebAssembly.instantiate(module)).exports;
  let top = zoo.__heap_base.value;
  const place = (bytes) => {
    const begin = Math.ceil(top / 64) * 64;
    top = begin + bytes;
    const missing = top - zoo.memory.buffer.byteLength;
    if (missing > 0) zoo.memory.grow(Math.ceil(missing / 65536));
    return begin;
  };
  const check = (code) => {
    if (code === NEWER_FORMAT) throw new InstrumentError("it is of a newer format: make this page anew by “zoo web”, with the zoo that made the file");
    if (code) throw new InstrumentError(text(zoo, zoo.zoo_error_text(code)));
  };
  const at = place(file.length);
  new Uint8Array(zoo.memory.buffer).set(file, at);
  const info = place(28), setup = place(64), delays = place(28), state = place(40), error = place(4);
  check(zoo.zoo_check(at, file.length, info));
  const [rate, hop, , , weights, textAt, textBytes] = new Uint32Array(zoo.memory.buffer, info, 7);
  const about = JSON.parse(text(zoo, textAt, textBytes));
  const unusual = zoo.zoo_live_usual(at, file.length, sampleRate, setup);
  if (unusual === WRONG_INPUTS) throw new InstrumentError("it is driven by something else than pitch and loudness as heard live");
  check(unusual);
  const view = new DataView(zoo.memory.buffer, setup, 64);
  const [lowest, highest, ...db] = new Float32Array(zoo.memory.buffer, setup + 36, 7);
  const range = view.getUint32(32, true) ? { hz: [lowest, highest], db } : null;
  view.setFloat32(8, lowestHz, true);
  view.setBigUint64(24, BigInt(seed), true);
  if (!fit) view.setUint32(32, 0, true);
  const size = zoo.zoo_live_bytes(at, file.length, setup);
  if (!size) {
    const least = Math.ceil(Math.max(20, rate / 3200)), most = Math.floor(view.getFloat32(12, true) / 1.5); // zoo_player.h
    throw new InstrumentError(
      `it cannot be played at ${sampleRate} Hz with input from ${lowestHz} Hz: sampleRate is the AudioContext's, 4000 to 768000, and lowestHz ${least} to ${most}`,
    );
  }
  const live = zoo.zoo_live_init(place(size), size, at, file.length, setup, error);
  check(new Uint32Array(zoo.memory.buffer, error, 1)[0]);
  zoo.zoo_live_latency(live, delays);
  unpackHalves(zoo, at, place);
  const [total, analysis, frame, resampling, synth, hold, soonest] = new Uint32Array(zoo.memory.buffer, delays, 7);
  const input = place(4 * LARGEST_BLOCK), output = place(4 * LARGEST_BLOCK);
  return {
    about, range, weights, hop, instrumentRate: rate, sampleRate,
    delays: { total, analysis, frame, resampling, synth, hold, soonest },
    places: { live, state, input, output },
    memory: zoo.memory.buffer.slice(0, top),
  };
}

/** An instrument that plays: what it hears (`listen`), or by hand (`drive`). It never allocates while it plays. */
export class Instrument {
  /** instance: of the module, where the caller has to make it asynchronously, as in a page. */
  constructor(module, prepared, instance = new WebAssembly.Instance(module)) {
    const { memory, places, delays, range, sampleRate, about } = prepared;
    Object.assign(this, { delays, range, sampleRate, name: about.name });
    this.zoo = instance.exports;
    const missing = memory.byteLength - this.zoo.memory.buffer.byteLength;
    if (missing > 0) this.zoo.memory.grow(Math.ceil(missing / 65536));
    const buffer = this.zoo.memory.buffer;
    new Uint8Array(buffer).set(new Uint8Array(memory));
    this.places = places;
    this.input = new Float32Array(buffer, places.input, LARGEST_BLOCK);
    this.output = new Float32Array(buffer, places.output, LARGEST_BLOCK);
    this.floats = new Float32Array(buffer, places.state, 7);
    this.integers = new Int32Array(buffer, places.state, 8);
  }

  /** Play as many samples as `output` holds, at most LARGEST_BLOCK; an input of null is silence. */
  process(input, output) {
    const samples = output.length, { live, input: from, output: to } = this.places;
    if (input) this.input.set(input);
    else this.input.fill(0, 0, samples);
    this.zoo.zoo_live_process(live, from, samples, to);
    for (let i = 0; i < samples; i++) output[i] = this.output[i];
  }

  set(setting, value) {
    return this.zoo.zoo_live_set(this.places.live, SETTINGS[setting], value) === 0;
  }

  drive(hz, db) {
    this.zoo.zoo_live_drive(this.places.live, hz, db);
  }

  listen() {
    this.zoo.zoo_live_drive(this.places.live, 0, NaN);
  }

  /** Fetch what the last frame was; the getters below then give it. */
  read() {
    this.zoo.zoo_live_read(this.places.live, this.places.state);
  }
  get inputPeak() { return this.floats[0]; }
  get inputHz() { return this.floats[1]; }
  get inputDb() { return this.floats[2]; }
  get hz() { return this.floats[4]; }
  get db() { return this.floats[5]; }
  get shiftDb() { return this.floats[6]; }
  get octaves() { return this.integers[7]; }
}

/** Turn numbers of 16 bits into those of 32, which WebAssembly multiplies twice as fast.
 *
 * The file is downloaded with 16 bits. By now it is checked, and the player reads its table of tensors whenever it plays
 * (player/csrc/zp_internal.h): entries that say 16 bits get another type and another place. */
function unpackHalves(zoo, file, place) {
  const header = new DataView(zoo.memory.buffer, file, 96);
  const tensors = header.getUint32(56, true), table = file + Number(header.getBigUint64(80, true));
  for (let entry = table; entry < table + 32 * tensors; entry += 32) {
    const [type, , , , offset, , bytes] = new Uint32Array(zoo.memory.buffer, entry, 8);
    if (type !== 1) continue;
    const begin = place(2 * bytes), { buffer } = zoo.memory;
    const halves = new Uint16Array(buffer, file + offset, bytes / 2);
    const words = new Uint32Array(buffer, begin, halves.length), floats = new Float32Array(buffer, begin, halves.length);
    for (let i = 0; i < halves.length; i++) {
      words[i] = (halves[i] & 0x7fff) << 13;
      floats[i] *= 2 ** 112; // exponents are counted from elsewhere
      words[i] |= (halves[i] & 0x8000) << 16;
    }
    new Uint32Array(buffer, entry, 8).set([0, ...new Uint32Array(buffer, entry + 4, 3), begin - file, 0, 2 * bytes, 0]);
  }
}

function text(zoo, begin, bytes) {
  const memory = new Uint8Array(zoo.memory.buffer);
  const end = bytes === undefined ? memory.indexOf(0, begin) : begin + bytes;
  return new TextDecoder().decode(memory.slice(begin, end));
}
