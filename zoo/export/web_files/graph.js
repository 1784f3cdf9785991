// The audio graph: microphone, instrument, hall, tap, spectrum, loudspeaker.

import * as trouble from "./trouble.js";

const HALL_SECONDS = 1.8;
const SPECTRUM_SIZE = 4096;

export class Sound {
  /** reported(report) is called some fifty times a second; failed(message) when an instrument was not taken;
   * unplugged() when the microphone ended by itself. */
  constructor({ reported, failed, unplugged }) {
    this.context = null;
    this.reported = reported;
    this.failed = failed;
    this.unplugged = unplugged;
    this.knobs = {};
    this.inputLatency = null;
  }

  /** Begin. library: bytes of the WebAssembly; first(sampleRate): gives the first instrument, prepared. */
  async start(library, first) {
    const context = new AudioContext({ latencyHint: "interactive" });
    let prepared;
    try {
      await context.audioWorklet.addModule("worklet.js").catch(() => {
        throw new Error(trouble.WORKLET);
      });
      prepared = await first(context.sampleRate);
    } catch (error) {
      context.close(); // the next try makes its own
      throw error;
    }
    const processorOptions = { library, prepared, knobs: this.knobs };
    const mono = { channelCount: 1, channelCountMode: "explicit" };
    this.player = new AudioWorkletNode(context, "zoo-player", { ...mono, outputChannelCount: [1], processorOptions });
    this.player.port.onmessage = ({ data }) => {
      if (data.report) this.reported(data.report);
      if (data.failed) this.failed(data.failed);
    };
    this.player.onprocessorerror = () => this.failed("its code ended with an error");
    this.tap = new AudioWorkletNode(context, "zoo-tap", { ...mono, numberOfOutputs: 0 });
    this.out = new GainNode(context);
    this.analyser = new AnalyserNode(context, { fftSize: SPECTRUM_SIZE, smoothingTimeConstant: 0.4 });
    this.bins = new Float32Array(this.analyser.frequencyBinCount);
    this.player.connect(this.out);
    for (const node of [this.tap, this.analyser, context.destination]) this.out.connect(node);
    this.context = context;
    this.setHall();
    if (this.stream) this.connect();
  }

  resume() {
    return this.context.resume();
  }

  tell(what, value) {
    this.player?.port.postMessage({ what, value });
  }

  load(prepared) {
    this.player.port.postMessage({ what: "load", value: prepared });
  }

  set(knobs) {
    this.knobs = knobs;
    this.tell("knobs", knobs);
    this.setHall();
  }

  /** A hall behind the instrument: noise that dies away. It is there only while it is heard. */
  setHall() {
    const { context } = this, level = this.knobs.hall ?? 0;
    if (!context || (!level && !this.hall)) return;
    if (!this.hall) {
      const length = Math.round(HALL_SECONDS * context.sampleRate);
      const response = new AudioBuffer({ length, numberOfChannels: 1, sampleRate: context.sampleRate });
      const samples = response.getChannelData(0);
      let low = 0;
      for (let i = 0; i < length; i++) {
        const part = i / length;
        low += (0.7 - 0.6 * part) * (Math.random() * 2 - 1 - low); // air takes the highs first
        samples[i] = low * 10 ** (-3 * part) * Math.min(1, i / (0.012 * context.sampleRate));
      }
      this.hall = new ConvolverNode(context, { buffer: response });
      this.behind = new GainNode(context, { gain: 0 });
      this.hall.connect(this.behind).connect(this.out);
    }
    if (level && !this.hallJoined) this.player.connect(this.hall);
    if (!level && this.hallJoined) this.player.disconnect(this.hall);
    this.hallJoined = level > 0;
    this.behind.gain.setTargetAtTime(level ** 2, context.currentTime, 0.03);
  }

  /** Take the microphone, as it is: what browsers do to speech spoils a pitch. */
  async listen(deviceId) {
    this.deafen();
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, latency: 0 };
    const audio = { ...plain, ...(deviceId ? { deviceId: { exact: deviceId } } : {}) };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.deafen(); // where Sing was pressed twice, while the browser asked
    this.stream = stream;
    const [track] = stream.getAudioTracks(), settings = track.getSettings();
    track.onended = () => this.unplugged();
    this.deviceId = settings.deviceId;
    this.inputLatency = settings.latency ?? null;
    this.connect();
  }

  connect() {
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: this.stream });
    this.source.connect(this.player);
  }

  deafen() {
    this.source?.disconnect();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.source = this.stream = this.inputLatency = null;
  }

  /** Show what a player of the page plays. */
  watch(audio) {
    if (!this.context) return;
    const node = new MediaElementAudioSourceNode(this.context, { mediaElement: audio });
    node.connect(this.analyser);
    node.connect(this.context.destination);
  }

  spectrum() {
    this.analyser.getFloatFrequencyData(this.bins);
    return this.bins;
  }

  record() {
    const blocks = [];
    this.recording = new Promise((resolve) => {
      this.tap.port.onmessage = ({ data }) => {
        blocks.push(data.samples);
        if (data.last) resolve(joined(blocks));
      };
    });
    this.tap.port.postMessage("start");
  }

  /** Stop recording: `[samples]`. */
  recorded() {
    this.tap.port.postMessage("stop");
    return this.recording;
  }
}

function joined(blocks) {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}
