// The picture that rolls: a spectrogram of what is played, and over it the pitch that is heard and that is played.

const LOWEST_HZ = 55, HIGHEST_HZ = 7040; // seven octaves
const PIXELS_PER_SECOND = 80;
const FLOOR_DB = -95, CEILING_DB = -25;
const SHADES = 64;

export class Roll {
  constructor(canvas, names) {
    Object.assign(this, { canvas, names });
    this.context = canvas.getContext("2d", { alpha: false });
    this.owed = 0; // pixels
    new ResizeObserver(() => this.fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.fit());
    this.fit();
  }

  fit() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = { ground: colour("--roll"), line: colour("--roll-line"), heard: colour("--heard"), played: colour("--played") };
    this.context.fillStyle = this.colours.ground;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.rows = null;
    this.before = null;
    this.shades = Array.from({ length: SHADES + 1 }, (_, i) => mix(this.colours.ground, colour("--sound"), (i / SHADES) ** 1.3));
    const octaves = [];
    for (let note = 36; note <= 96; note += 12) {
      const label = document.createElement("span");
      label.textContent = `C${note / 12 - 1}`;
      label.style.top = `${100 * (1 - place(440 * 2 ** ((note - 69) / 12)))}%`;
      octaves.push(label);
    }
    this.names.replaceChildren(...octaves);
    this.lines = octaves.map((label) => Math.round((parseFloat(label.style.top) / 100) * this.canvas.height));
  }

  /** Roll on by so many seconds. spectrum: dB per bin; heard and played: Hz, 0 for none. */
  step(seconds, spectrum, sampleRate, heard, played) {
    const { context, canvas, ratio } = this, { height, width } = canvas;
    this.owed += seconds * PIXELS_PER_SECOND * ratio;
    const columns = Math.min(width, Math.floor(this.owed));
    if (columns < 1) return;
    this.owed -= columns;
    context.drawImage(canvas, -columns, 0);
    const left = width - columns;
    this.rows ??= rowsOf(height, spectrum.length, sampleRate);
    let at = 0;
    while (at < height) {
      const shade = this.shade(spectrum, at);
      let end = at + 1;
      while (end < height && this.shade(spectrum, end) === shade) end++;
      context.fillStyle = this.shades[shade];
      context.fillRect(left, at, columns, end - at);
      at = end;
    }
    context.fillStyle = this.colours.line;
    for (const line of this.lines) context.fillRect(left, line, columns, 1);
    const now = { heard: this.y(heard), played: this.y(played) };
    for (const which of ["heard", "played"]) {
      const from = this.before?.[which], to = now[which];
      if (to === null) continue;
      const thick = (which === "played" ? 2.5 : 6) * ratio;
      const joined = from !== null && from !== undefined && Math.abs(from - to) < height / 10;
      context.fillStyle = this.colours[which];
      for (let column = 0, y = joined ? from : to; column < columns; column++) {
        const next = joined ? from + ((to - from) * (column + 1)) / columns : to;
        context.fillRect(left + column, Math.min(y, next) - thick / 2, 1, Math.abs(next - y) + thick);
        y = next;
      }
    }
    this.before = now;
  }

  shade(spectrum, row) {
    const [first, last] = this.rows[row];
    let most = -Infinity;
    for (let bin = first; bin <= last; bin++) if (spectrum[bin] > most) most = spectrum[bin];
    const part = (most - FLOOR_DB) / (CEILING_DB - FLOOR_DB);
    return Math.round(SHADES * Math.max(0, Math.min(1, part || 0)));
  }

  y(hz) {
    return hz > 0 ? this.canvas.height * (1 - place(hz)) : null;
  }
}

const place = (hz) => Math.log2(hz / LOWEST_HZ) / Math.log2(HIGHEST_HZ / LOWEST_HZ);

/** Which bins each row of pixels shows, top to bottom. */
export function rowsOf(height, bins, sampleRate) {
  const bin = (row) => {
    const hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** (1 - row / height);
    return Math.min(bins - 1, Math.round((hz * 2 * bins) / sampleRate));
  };
  return Array.from({ length: height }, (_, row) => [bin(row + 1), bin(row)]);
}

function mix(from, to, part) {
  const [a, b] = [from, to].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return `rgb(${a.map((value, i) => Math.round(value + part * (b[i] - value))).join(" ")})`;
}
