"""Playing an instrument: by MIDI, and by a sound that comes in, on this machine's audio devices."""

from zoo.live.midi import MidiInstrument, Song, octaves_for, playable, read_midi, voices_for
from zoo.live.notes import Note, notes_to_features
from zoo.live.performer import STYLES, Performer, Style

__all__ = [
    "STYLES",
    "MidiInstrument",
    "Note",
    "Performer",
    "Song",
    "Style",
    "notes_to_features",
    "octaves_for",
    "playable",
    "read_midi",
    "voices_for",
]
