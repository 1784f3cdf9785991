// What “Listen” plays: Greensleeves (England, 16th century), as [begins, lasts, note, velocity] in seconds.

const EIGHTH = 0.31;
const NOTES = `A4 1, C5 2, D5 1, E5 1.5, F5 .5, E5 1, D5 2, B4 1, G4 1.5, A4 .5, B4 1, C5 2, A4 1, A4 1.5, G#4 .5, A4 1,
  B4 2, G#4 1, E4 2, A4 1, C5 2, D5 1, E5 1.5, F5 .5, E5 1, D5 2, B4 1, G4 1.5, A4 .5, B4 1, C5 1.5, B4 .5, A4 1,
  G#4 1.5, F#4 .5, G#4 1, A4 4.5`;
const STEPS = { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 };

/** transpose: semitones. */
export function melody(transpose = 0) {
  const notes = NOTES.split(",").map((each) => {
    const [name, length] = each.trim().split(" ");
    return [STEPS[name[0]] + (name[1] === "#" ? 1 : 0) + 12 * (Number(name.at(-1)) + 1), Number(length) * EIGHTH];
  });
  let begins = 0.05;
  return notes.map(([note, length], i) => {
    const repeated = notes[i + 1]?.[0] === note;
    const swell = 0.5 + 0.03 * (note - 64) + 0.06 * Math.min(2, length);
    const event = [begins, length * (repeated ? 0.85 : 1) + (repeated ? 0 : 0.02), note + transpose, Math.max(0.35, Math.min(1, swell))];
    begins += length;
    return event;
  });
}
