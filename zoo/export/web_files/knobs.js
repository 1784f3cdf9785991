// The sliders: what they are called, where they may go, and what they mean to the instrument.

const percent = (value) => `${value} %`;
const signed = (unit) => (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value)} ${unit}`;

/** name, label, least, most, step, at first, how it is shown, what it is to the audio. */
export const KNOBS = [
  ["transpose", "Transpose", -24, 24, 1, 0, signed("st"), (value) => value],
  ["loudness", "Loudness", -20, 20, 1, 0, signed("dB"), (value) => value],
  ["dynamics", "Dynamics", 0, 200, 5, 100, percent, (value) => value / 100],
  ["vibrato", "Vibrato", 0, 100, 2, 0, (value) => `${value} ct`, (value) => value / 100],
  ["room", "Its own room", 0, 100, 5, 100, percent, (value) => value / 100],
  ["hall", "Hall", 0, 100, 5, 0, percent, (value) => value / 100],
  ["mix", "Dry / wet", 0, 100, 5, 100, percent, (value) => value / 100],
  ["gate", "Gate", -90, -20, 1, -65, signed("dB"), (value) => value],
  ["gain", "Volume", -30, 18, 1, 0, signed("dB"), (value) => 10 ** (value / 20)],
];

/** Put the sliders into an element; `changed` gets all values, as the audio takes them. A double click resets one. */
export function knobsOf(element, changed) {
  const inputs = {};
  const values = () => Object.fromEntries(KNOBS.map(([name, , , , , , , mean]) => [name, mean(Number(inputs[name].value))]));
  for (const [name, label, min, max, step, first, shown] of KNOBS) {
    const row = Object.assign(document.createElement("label"), { htmlFor: `knob-${name}` });
    const title = Object.assign(document.createElement("span"), { textContent: label });
    const output = document.createElement("output");
    const input = Object.assign(document.createElement("input"), { type: "range", id: `knob-${name}`, min, max, step, value: first });
    const draw = () => {
      const text = shown(Number(input.value));
      output.value = text;
      input.setAttribute("aria-valuetext", text);
      input.style.setProperty("--part", (input.value - min) / (max - min));
    };
    input.addEventListener("input", () => {
      draw();
      changed(values());
    });
    row.addEventListener("dblclick", () => {
      input.value = first;
      input.dispatchEvent(new Event("input"));
    });
    row.append(title, output, input);
    inputs[name] = input;
    element.append(row);
    draw();
  }
  return { values };
}
