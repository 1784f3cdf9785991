// Notes to pitch and loudness: one voice that plays as a wind or string player would, from keys, a wheel and pedals.
//
// A note that begins while another is held is tied to it: the pitch glides and the tone goes on. A note after a rest is
// attacked. Louder notes speak sooner; a long one grows a little vibrato. Levels lie in the instrument's own range.

const ATTACK_DB = 20; // how far under its level a note begins
const RELEASE_DB_PER_SECOND = 220;
const GLIDE_SECONDS = 0.022; // time constant
const LATE_VIBRATO = 0.11; // semitones, where nobody asks for more
const VIBRATO_HZ = 5.3;
const SILENT_DB = -80;
/** Loudness of an instrument that names none: softest, soft, middle, loud, loudest. */
export const RANGE_DB = [-60, -50, -40, -30, -20];

export const hzOf = (note) => 440 * 2 ** ((note - 69) / 12);
export const noteOf = (hz) => 69 + 12 * Math.log2(hz / 440);

export class Notes {
  constructor() {
    this.range = RANGE_DB;
    this.dynamics = 1;
    this.vibrato = 0; // semitones, on top of the late one
    this.hz = 0;
    this.db = SILENT_DB;
    this.allOff();
    this.reset();
    this.sounding = false;
    this.pitch = 69;
    this.phase = 0;
    this.drift = 0;
    this.random = 1;
  }

  on(note, velocity = 0.7) {
    this.off(note, true);
    const tied = this.held.length > 0 && this.sounding;
    this.held.push({ note, velocity });
    this.begin(tied);
  }

  off(note, now = false) {
    if (this.pedal && !now) {
      this.waiting.add(note);
      return;
    }
    this.waiting.delete(note);
    const sounded = this.current;
    this.held = this.held.filter((each) => each.note !== note);
    if (this.held.length && this.current !== sounded) this.begin(true); // back to a note that is still held
  }

  sustain(down) {
    this.pedal = down;
    if (!down) for (const note of [...this.waiting]) this.off(note);
  }

  allOff() {
    this.held = [];
    this.waiting = new Set();
    this.pedal = false;
  }

  /** Bend, wheel, expression and pedal as they are at first: a sequencer that stops leaves them anywhere. */
  reset() {
    this.bend = 0; // semitones
    this.wheel = 0;
    this.expression = 1;
    this.sustain(false);
  }

  get current() {
    return this.held[this.held.length - 1];
  }

  /** The note that sounds, or null. */
  get note() {
    return this.sounding && this.current ? this.current.note : null;
  }

  begin(tied) {
    const { note, velocity } = this.current;
    this.target = note;
    this.velocity = velocity;
    if (!tied) {
      this.pitch = note;
      this.age = 0;
      this.envelope = -ATTACK_DB;
    } else {
      this.envelope = Math.min(this.envelope, -1.5); // the ear wants to hear that a note begins
    }
    this.sounding = true;
  }

  /** Go on by so many seconds; then `hz`, `db` and `sounding` say what to play. */
  advance(seconds) {
    if (!this.sounding) return;
    this.age += seconds;
    if (this.held.length) {
      const speed = 0.012 + 0.05 * (1 - this.velocity); // seconds
      const rest = this.age > 0.3 ? -1.5 : 0; // a tone settles
      this.envelope += (rest - this.envelope) * (1 - Math.exp(-seconds / (this.age > 0.3 ? 0.6 : speed)));
    } else {
      this.envelope -= RELEASE_DB_PER_SECOND * seconds;
    }
    this.pitch += (this.target - this.pitch) * (1 - Math.exp(-seconds / GLIDE_SECONDS));
    if (Math.abs(this.pitch - this.target) < 1e-4) this.pitch = this.target;
    this.random = (this.random * 16807) % 2147483647;
    this.drift += (0.5 * (this.random / 1073741823.5 - 1) - this.drift) * Math.min(1, 4 * seconds);
    this.phase = (this.phase + VIBRATO_HZ * (1 + 0.3 * this.drift) * seconds) % 1;
    const late = Math.min(1, Math.max(0, (this.age - 0.3) / 0.6));
    const depth = LATE_VIBRATO * late + 0.5 * this.wheel + this.vibrato;
    const swing = Math.sin(2 * Math.PI * this.phase) * depth;
    this.hz = hzOf(this.pitch + this.bend + swing + 0.1 * this.drift);
    const [softest, soft, middle, loud, loudest] = this.range;
    const played = soft + (loud + 0.5 * (loudest - loud) - soft) * this.velocity;
    const level = middle + this.dynamics * (played - middle) + 24 * (this.expression - 1) + 2 * swing;
    this.db = Math.min(0, level) + this.envelope;
    if (!this.held.length && (this.db < softest - 60 || this.db <= SILENT_DB)) {
      this.sounding = false;
      this.hz = 0;
      this.db = SILENT_DB;
    }
  }
}
