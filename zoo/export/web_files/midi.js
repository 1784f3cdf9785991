// MIDI messages to what the instrument understands.

const BEND_SEMITONES = 2;

/** A channel message as `{what, value}` for the worklet, or null where it means nothing here. */
export function read([status, first = 0, second = 0]) {
  const kind = status & 0xf0;
  if (kind === 0x90 && second > 0) return { what: "on", value: { note: first, velocity: second / 127 } };
  if (kind === 0x80 || kind === 0x90) return { what: "off", value: { note: first } };
  if (kind === 0xe0) return { what: "bend", value: (BEND_SEMITONES * (first + 128 * second - 8192)) / 8192 };
  if (kind !== 0xb0) return null;
  if (first === 1) return { what: "wheel", value: second / 127 };
  if (first === 11 || first === 2) return { what: "expression", value: second / 127 };
  if (first === 64) return { what: "sustain", value: second >= 64 };
  if (first === 120 || first === 123) return { what: "allOff" };
  if (first === 121) return { what: "reset" };
  return null;
}

/** Listen to every MIDI input, also to those that are plugged in later.
 *
 * send: gets what `read` gives. changed: gets the names of the inputs, now and whenever they change. */
export async function listen(send, changed) {
  const access = await navigator.requestMIDIAccess();
  const connect = () => {
    const names = [];
    for (const input of access.inputs.values()) {
      if (input.state !== "connected") continue;
      names.push(input.name || "MIDI input");
      input.onmidimessage = ({ data }) => {
        const message = read(data);
        if (message) send(message);
      };
    }
    changed(names);
  };
  access.onstatechange = connect;
  connect();
}
