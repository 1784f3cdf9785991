// The piano on the page: pointer, touch, focus and the computer's own keys.

const WHITE = [0, 2, 4, 5, 7, 9, 11];
const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
// by place, not by letter: the same on every layout
const LETTERS = "KeyA KeyW KeyS KeyE KeyD KeyF KeyT KeyG KeyY KeyH KeyU KeyJ KeyK KeyO KeyL KeyP Semicolon".split(" ");
const LETTER_VELOCITY = 0.75;
const TYPED_INTO = "select, textarea, input:not([type=range], [type=radio], [type=file])";

export const nameOf = (note) => NAMES[((note % 12) + 12) % 12] + (Math.floor(note / 12) - 1);

export class Keyboard {
  /** element: gets the keys. play(note, velocity) and stop(note) are called. */
  constructor(element, { play, stop, moved = () => {} }) {
    Object.assign(this, { element, play, stop, moved });
    this.octave = 4;
    this.held = new Map(); // what holds it (a pointer, a letter) -> note
    this.home = null;
    this.focus = 60;
    new ResizeObserver(() => this.draw()).observe(element);
    element.addEventListener("pointerdown", (event) => this.press(event));
    element.addEventListener("pointermove", (event) => this.held.has(event.pointerId) && this.press(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      element.addEventListener(end, ({ pointerId }) => this.release(pointerId));
    element.addEventListener("keydown", (event) => this.steer(event));
    element.addEventListener("keyup", ({ code }) => (code === "Space" || code === "Enter") && this.release("focus"));
    element.addEventListener("blur", () => this.release("focus"));
    addEventListener("keydown", (event) => this.type(event));
    addEventListener("keyup", ({ code }) => this.release(code));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => document.hidden && this.releaseAll());
  }

  /** Where the instrument is at home, as its lowest and highest note: other keys are dimmed. None: no key is. */
  setHome(home = null) {
    this.home = home;
    this.draw();
  }

  shift(octaves) {
    this.octave = Math.max(1, Math.min(7, this.octave + octaves));
    this.releaseAll();
    this.draw();
    this.moved(this.octave);
  }

  /** Show which note sounds. */
  light(note) {
    if (note === this.lit) return;
    this.keys?.get(this.lit)?.classList.remove("lit");
    this.keys?.get(note)?.classList.add("lit");
    this.lit = note;
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const whites = Math.max(8, Math.min(29, Math.floor(width / 40)));
    const first = 12 * (this.octave + 1) - (whites > 21 ? 12 : 0);
    const each = 100 / whites;
    this.keys = new Map();
    const made = [];
    for (let i = 0; i < whites; i++) {
      const note = first + 12 * Math.floor(i / 7) + WHITE[i % 7];
      made.push(this.key(note, "white", each * i, each));
      if (![2, 6].includes(i % 7) && i + 1 < whites) made.push(this.key(note + 1, "black", each * (i + 0.68), each * 0.64));
    }
    this.element.replaceChildren(...made);
    const last = Math.max(...this.keys.keys());
    this.focus = Math.max(first, Math.min(last, this.focus));
    this.point();
  }

  key(note, kind, left, width) {
    const key = document.createElement("div");
    key.id = `key${note}`;
    key.className = kind + (this.home && (note < this.home[0] || note > this.home[1]) ? " far" : "");
    key.setAttribute("role", "button");
    key.setAttribute("aria-label", nameOf(note));
    key.style.left = `${left}%`;
    key.style.width = `${width}%`;
    key.dataset.note = note;
    const letter = LETTERS[note - 12 * (this.octave + 1)];
    const label = letter ? (letter === "Semicolon" ? ";" : letter.at(-1)) : "";
    key.innerHTML = `<small>${label}</small>${note % 12 === 0 ? `<em>${nameOf(note)}</em>` : ""}`;
    this.keys.set(note, key);
    if (note === this.lit) key.classList.add("lit");
    return key;
  }

  press(event) {
    event.preventDefault();
    this.element.focus({ preventScroll: true });
    const key = document.elementFromPoint(event.clientX, event.clientY)?.closest?.("[data-note]");
    if (!key || !this.element.contains(key)) return this.release(event.pointerId);
    if (event.type === "pointerdown") this.element.setPointerCapture(event.pointerId);
    const { top, height } = key.getBoundingClientRect();
    this.hold(event.pointerId, Number(key.dataset.note), 0.4 + 0.6 * Math.min(1, (event.clientY - top) / height));
  }

  type(event) {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED_INTO)) return;
    if (event.code === "KeyZ") return this.shift(-1);
    if (event.code === "KeyX") return this.shift(1);
    const place = LETTERS.indexOf(event.code);
    if (place >= 0) this.hold(event.code, 12 * (this.octave + 1) + place, LETTER_VELOCITY);
  }

  steer(event) {
    const step = { ArrowRight: 1, ArrowUp: 12, ArrowLeft: -1, ArrowDown: -12 }[event.code];
    if (step && this.keys.has(this.focus + step)) {
      this.focus += step;
      this.point();
      if (this.held.has("focus")) this.hold("focus", this.focus, LETTER_VELOCITY);
    } else if ((event.code === "Space" || event.code === "Enter") && !event.repeat) {
      this.hold("focus", this.focus, LETTER_VELOCITY);
    } else if (!step && event.code !== "Space" && event.code !== "Enter") return;
    event.preventDefault();
  }

  point() {
    this.element.setAttribute("aria-activedescendant", `key${this.focus}`);
    for (const [note, key] of this.keys) key.classList.toggle("pointed", note === this.focus);
  }

  hold(who, note, velocity) {
    const before = this.held.get(who);
    if (before === note) return;
    this.held.set(who, note);
    this.play(note, velocity); // first the new one, then the old one's end: tied
    if (before !== undefined && ![...this.held.values()].includes(before)) this.stop(before);
  }

  release(who) {
    const note = this.held.get(who);
    if (note === undefined) return;
    this.held.delete(who);
    if (![...this.held.values()].includes(note)) this.stop(note);
  }

  releaseAll() {
    for (const who of [...this.held.keys()]) this.release(who);
  }
}
