"""An instrument that is played by MIDI: from files, and message by message."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import zoo_player
from numpy.typing import NDArray

from zoo.errors import ConfigError, PluginError
from zoo.live.notes import MOST_SECONDS
from zoo.live.performer import MOST_VOICES, PRESSED, Performer, Style, dynamics_of, style_of
from zoo.models.fit import octaves_into
from zoo.models.model import Model
from zoo.registry.requirements import library
from zoo.storage.model_range import ModelRange
from zoo.streaming import instrument_file

DRUMS = 9  # channel 10, as musicians count
_TAIL_SECONDS = 1.5  # of a reverb
_OVERLAP_SECONDS = 0.08  # notes of one voice may overlap so much, bound
_NAME = 0x03  # a meta event, as the next ones
_TEMPO_AND_END = ((0x51, 3), (0x2F, 0))  # with their lengths
_TEXT = 0x01
_BLOCK = 25  # frames that are played at a time, at most


@dataclass(frozen=True)
class Song:
    """What a MIDI file plays.

    Attributes:
        messages: Seconds and bytes of the channels' messages, in order.
        seconds: Until its last event.
    """

    messages: tuple[tuple[float, tuple[int, ...]], ...]
    seconds: float

    def notes(self) -> list[tuple[float, float, int]]:
        """Start and end in seconds, and pitch.

        An end is that of the first note on its key that has none, and not before the pedal's; a note without an end
        lasts until the song's.
        """
        began: dict[tuple[int, int], list[float]] = {}
        ringing: dict[tuple[int, int], list[float]] = {}  # ended, but a pedal holds them
        pedals: set[int] = set()
        found: list[tuple[float, float, int]] = []

        def end(notes: dict[tuple[int, int], list[float]], at: float, channel: int, pitch: int | None = None) -> None:
            for key in [key for key in notes if key[0] == channel and pitch in (None, key[1])]:
                found.extend((start, at, key[1]) for start in notes.pop(key))

        for at, data in self.messages:
            kind, channel, first = data[0] & 0xF0, data[0] & 15, data[1]
            key = (channel, first)
            if kind == 0x90 and data[2]:
                end(ringing, at, *key)
                began.setdefault(key, []).append(at)
            elif kind in (0x80, 0x90) and began.get(key):
                start = began[key].pop(0)
                if channel in pedals:
                    ringing.setdefault(key, []).append(start)
                else:
                    found.append((start, at, first))
            elif kind == 0xB0 and first == 64 and data[2] >= PRESSED:
                pedals.add(channel)
            elif kind == 0xB0 and first in (64, 120, 121, 123):
                pedals.discard(channel)
                end(ringing, at, channel)
                if first in (120, 123):
                    end(began, at, channel)
        for channel in range(16):
            end(began, self.seconds, channel)
            end(ringing, self.seconds, channel)
        return sorted(found)

    def polyphony(self) -> int:
        """How many notes sound at once; what merely overlaps as bound notes do is one."""
        ends: list[float] = []
        most = 0
        for start, end, _ in self.notes():
            ends = [other for other in ends if other > start + _OVERLAP_SECONDS] + [end]
            most = max(most, len(ends))
        return most


def read_midi(path: Path, *, channel: int | None = None, track: int | None = None) -> Song:
    """Read a MIDI file.

    Args:
        path: Of type 0 or 1, or of type 2, whose tracks are then played at once; by itself or in RIFF (.rmi).
        channel: Only this one, 1 to 16; by default all but 10, the drums.
        track: Only this one, from 0; by default all.

    Raises:
        ConfigError: It is no MIDI file, damaged, has no such track or no notes, or lasts more than an hour.
    """
    mido = library("mido", purpose="Reading a MIDI file")
    try:
        data = _tracks_alone(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from None
    if not data.startswith(b"MThd"):
        raise ConfigError(f"{path} is {'no MIDI file' if data else 'empty'}: a MIDI file begins with MThd.")
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except (EOFError, OSError, ValueError, LookupError, TypeError, ArithmeticError, mido.KeySignatureError) as error:
        said = str(error) or "it ends before its last track does"
        raise ConfigError(f"{path} is damaged: {said}.") from None
    if track is not None and not 0 <= track < len(file.tracks):
        raise ConfigError(f"{path} has no track {track}: it has {len(file.tracks)}, counted from 0.")
    if file.ticks_per_beat <= 0 or file.ticks_per_beat >= 1 << 15:
        raise ConfigError(f"{path} counts time in film frames, which zoo does not read. Save it with ticks per beat.")
    events = []  # ticks, and the message; sorting keeps the order of what comes at one moment
    for number, messages in enumerate(file.tracks):
        at = 0
        for message in messages:
            at += message.time
            if message.type == "set_tempo" or track is None or track == number:
                events.append((at, message))
    seconds, before, tempo, found, drums = 0.0, 0, 500_000, [], False
    for at, message in sorted(events, key=lambda event: event[0]):
        seconds += (at - before) * tempo / 1e6 / file.ticks_per_beat
        before = at
        if message.type == "set_tempo":
            tempo = message.tempo
        elif hasattr(message, "channel"):
            taken = message.channel != DRUMS if channel is None else message.channel == channel - 1
            found.extend([(seconds, tuple(message.bytes()))] if taken else [])
            drums = drums or (channel is None and not taken and message.type == "note_on")
    if seconds > MOST_SECONDS:
        raise ConfigError(f"{path} lasts {seconds / 3600:.1f} hours; at most one hour can be played.")
    song = Song(tuple(found), seconds)
    if not any(data[0] & 0xF0 == 0x90 and data[2] for _, data in found):
        where = "" if channel is None else f" on channel {channel}"
        where += "" if track is None else f" in track {track}"
        beats = " but drums" if drums else ""
        tracks = ", ".join(f"{number}: {one.name or 'unnamed'}" for number, one in enumerate(file.tracks)) or "none"
        raise ConfigError(f"{path} has no notes{beats}{where}. Its tracks: {tracks}.")
    return song


def _tracks_alone(data: bytes) -> bytes:
    """A MIDI file's header and tracks, which mido reads, out of RIFF and of chunks of other kinds."""
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = b"".join(chunk for name, chunk in _chunks(data[12:], "little") if name == b"data")
        data = data[8:]
    if data[:4] != b"MThd":
        return data
    chunks = _chunks(data, "big")
    return b"".join(_of_notes(c) if name == b"MTrk" else c for name, c in chunks if name in (b"MThd", b"MTrk"))


def _of_notes(track: bytes) -> bytes:
    """A track whose meta events are text, but for its name, tempo and end.

    A key or time signature that is none is common in files from the web, plays no part in what is heard, and would
    make mido refuse the whole file; of an event that it does not know it would lose the time.
    """
    events = bytearray(track)
    at, status = 8, 0
    while (at := _number(events, at)[1]) < len(events):
        if events[at] & 0x80:
            status, at = events[at], at + 1
        if status < 0xF0:
            at += 1 if status >> 4 in (0xC, 0xD) else 2
            continue
        if status not in (0xF0, 0xF7, 0xFF):  # none of a file's: mido will say so
            break
        kind = at
        length, at = _number(events, at + (status == 0xFF))
        if status == 0xFF and at <= len(events) and events[kind] != _NAME:
            events[kind] = events[kind] if (events[kind], length) in _TEMPO_AND_END else _TEXT
        at += length
    return bytes(events)


def _number(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number of variable length, and where what comes after it begins."""
    value = 0
    while at < len(data):
        value, at = value << 7 | data[at] & 0x7F, at + 1
        if not data[at - 1] & 0x80:
            break
    return value, at


def _chunks(data: bytes, order: Literal["little", "big"]) -> Iterator[tuple[bytes, bytes]]:
    """Names of chunks, and the chunks with their heads; the last one may be cut short."""
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        yield data[at : at + 4], data[at : at + 8 + size]
        at += 8 + size + (size % 2 if order == "little" else 0)


def playable(model: Model) -> bytes:
    """A model as an instrument file, for playing live.

    Raises:
        PluginError: The player library cannot play it.
    """
    try:
        return instrument_file(model)
    except NotImplementedError as reason:
        raise PluginError(f"{model.name} cannot be played live, which takes the player library: {reason}") from None


class MidiInstrument:
    """A model that is played by MIDI messages, in blocks of frames.

    ```python
    from zoo.live import MidiInstrument

    violin = MidiInstrument(zoo.load("gru-S-violin"), voices=4)
    violin.message([0x90, 69, 100])  # from any thread
    audio = violin.process(10)  # [10 * violin.hop], float32
    ```

    Args:
        model: Its decoder and synth must have a C form, as zoo's own have.
        voices: 1: bound notes, the last one counts. More: as many notes at once.
        style: "expressive", "plain", "struck", or a `zoo.live.Style`; None for what the instrument's notes do.
        transpose: Semitones.
        seed: Of the noise.

    Raises:
        PluginError: The model cannot be played by the player library.
        ConfigError: The style or the number of voices is none, or the model needs more than pitch and loudness.
    """

    def __init__(
        self, model: Model, *, voices: int = 1, style: str | Style | None = None, transpose: float = 0.0, seed: int = 0
    ) -> None:
        if model.decoder.further_inputs:
            raise ConfigError(f"{model.name} is driven by more than pitch and loudness, which notes do not say.")
        span = model.config.range
        soft, loud = dynamics_of(span, model.feature_settings().loudness)
        self.sample_rate, self.hop = model.sample_rate, model.hop
        rate = self.sample_rate / self.hop
        self._begin = partial(Performer, rate, voices, style_of(style, span), soft, loud, transpose)
        self.performer = self._begin()
        self._softest = span.loudness_db.at(0.01) if span else soft
        self._loudest = span.loudness_db.highest if span else 0.0
        self._player = zoo_player.Instrument(playable(model), voices=voices, seed=seed)
        self.latency = self._player.latency
        self._levels = np.zeros((voices, self.latency // self.hop + 1), np.float32)  # of frames not yet heard
        self._lock = threading.Lock()

    def message(self, data: Sequence[int]) -> None:
        """Take a MIDI message; see `Performer.message`."""
        with self._lock:
            self.performer.message(data)

    def all_off(self) -> None:
        """End all notes."""
        with self._lock:
            self.performer.all_off()

    def process(self, frames: int) -> NDArray[np.float32]:
        """Play the next frames.

        Args:
            frames: How many.

        Returns:
            The voices' sum, `[frames * hop]`, `latency` samples late.
        """
        with self._lock:
            gains = self.performer.gains()
            f0_hz, asked_db = self.performer.frames(frames)
        # Softer than the model was trained to play is played as softly as that, and turned down.
        loudness_db = np.clip(asked_db, self._softest, self._loudest)
        factors = np.where(f0_hz > 0, 10.0 ** ((asked_db - loudness_db).clip(max=0.0) / 20.0), 0.0)
        factors *= gains[:, None]
        levels = np.concatenate([self._levels, factors.astype(np.float32)], axis=1)
        self._levels = levels[:, frames:]
        if self.performer.voices == 1:
            return self._player.process(f0_hz[0], loudness_db[0], levels=levels[0, : frames + 1])
        made = self._player.process(f0_hz, loudness_db, levels=levels[:, : frames + 1])
        return made.sum(axis=0, dtype=np.float32)

    def play(self, song: Song) -> NDArray[np.float32]:
        """Play a song from its beginning to the end of the reverb; nothing of what was played before is left in it.

        Args:
            song: What `read_midi` gave.

        Returns:
            `[samples]`, 1 is full scale; may be louder.
        """
        rate = self.sample_rate / self.hop
        with self._lock:
            self.performer = self._begin(paired=True)
            self._levels[:] = 0
            self._player.reset()
        played, at = [np.zeros(0, np.float32)], 0
        ends = [(song.seconds, (0xB0 | channel, 123, 0)) for channel in range(16)]
        for seconds, data in [*song.messages, *ends, (song.seconds + _TAIL_SECONDS, ())]:
            while at < round(seconds * rate):
                count = min(round(seconds * rate) - at, _BLOCK)
                played.append(self.process(count))
                at += count
            self.message(data)
        self.performer.paired = False  # from here on, keys again
        return np.concatenate(played)[self.latency :]


def voices_for(song: Song) -> int:
    """How many voices a song needs: as many again as sound at once, for what still fades."""
    most = song.polyphony()
    return 1 if most <= 1 else min(2 * most, MOST_VOICES)


def octaves_for(song: Song, span: ModelRange | None) -> int:
    """By how many octaves a song has to move to lie in a model's range."""
    if span is None:
        return 0
    pitches = [pitch for start, end, pitch in song.notes() for _ in range(1 + min(1000, round(20 * (end - start))))]
    return octaves_into(440.0 * 2.0 ** ((torch.tensor(pitches).repeat(10).float() - 69) / 12), span)
