// What went wrong, in words that say what to do.

const MICROPHONE = {
  NotAllowedError: "The browser refused the microphone. Allow it by the icon beside the address, then press Sing again. The keys, MIDI and recordings work without it.",
  NotFoundError: "There is no microphone here. Plug one in and press Sing again; the keys, MIDI and recordings work without it.",
  NotReadableError: "The microphone cannot be opened: another program may hold it. Close that, and press Sing again.",
  OverconstrainedError: "The chosen input is not there any more. Press Sing again to take another.",
};

export const UNPLUGGED = "The microphone is gone: it was unplugged, or the browser took it back. Plug it in, and press Sing again.";

export function microphone(error) {
  return MICROPHONE[error?.name] ?? `The microphone does not work here (${error?.message ?? error}).`;
}

export function midi(error) {
  if (error?.name === "SecurityError" || error?.name === "NotAllowedError")
    return "The browser refused MIDI. Allow it by the icon beside the address, then press MIDI again.";
  return `MIDI does not work here (${error?.message ?? error}).`;
}

export const NO_MIDI = "This browser has no Web MIDI: Chrome, Edge and Firefox have it. The computer's keys play, too.";

export function instrument(name, error) {
  return `${name} is no instrument that this page can play: ${error.message}. Instruments are files of “zoo export --to player”.`;
}

export function recording(name) {
  return `${name} cannot be read: it is no recording in a format that this browser knows. wav, mp3, flac and m4a are safe.`;
}

export const NONE_CHOSEN = "No instrument is loaded. Choose one above, open an instrument file, or reload the page.";

export const WORKLET = "The part of this page that makes the sound did not load (worklet.js, and core.js, engine.js and notes.js). Reload the page. If that does not help, copy the folder to its host again, all of it.";

export function refused(message) {
  return `The instrument was not taken: ${message}. Choose another one, or reload the page.`;
}

export function unreached(file) {
  return `${file} did not arrive: nobody answers. Look whether this device is online and the page's server runs, and try again.`;
}

export function missing(file, status) {
  return `${file} is missing beside this page (${status}). Make the folder anew by “zoo web MODEL --out FOLDER”, and copy all of it.`;
}
