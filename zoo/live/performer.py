"""From notes and controllers to pitch and loudness, frame by frame, as a player would phrase them.

Requirements: the same for a file, a keyboard and notes from Python; nothing jumps that does not jump on an instrument,
so notes begin softly, end by a release, and are bound where they overlap; every note ends, whatever is sent; a frame
costs some microseconds, for it runs beside a sound card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from zoo.checks.options import number_fault, refuse, whole_fault
from zoo.errors import ConfigError, near_matches
from zoo.features.loudness import FLOOR_DB
from zoo.storage.model_range import ModelRange

MOST_VOICES = 64
_RELEASE_DB = 40.0  # a note's end: so much softer, then silent
_BEGINS_DB = -14.0  # a note's first frame, against what it comes to
_PRESSURE_DB = 6.0  # of full aftertouch
_WHEEL_CENTS = 50.0  # of vibrato, with the modulation wheel at its end
_SLUR_SECONDS = 0.03  # in which a bound note comes to its own loudness
_SHORT = 1e-3  # seconds that divide nothing by 0
PRESSED = 64  # a pedal's value from which it is down
_NO_PARAMETER = (127, 127)  # RPN null
_USUAL_VOLUME = 100  # of a channel that nobody has set, as General MIDI has it
LOWEST, HIGHEST = 0.0, 136.0  # pitches, as MIDI counts: 8 Hz and 21 kHz. What is beyond is not played.


@dataclass(frozen=True)
class Style:
    """How notes are played.

    Attributes:
        attack_seconds: Until a note has its loudness.
        accent_db: By how much its beginning is louder than what it decays to,
        decay_seconds: by so much time.
        release_seconds: From a note's end to silence.
        glide_seconds: From one pitch to the next where notes overlap.
        vibrato_cents: Of a long note, in either direction.
        vibrato_hz: How fast.
        vibrato_delay_seconds: From a note's beginning until vibrato begins,
        vibrato_rise_seconds: and from there until it is full.
        bend_semitones: Of the pitch wheel at its end, unless the sender says otherwise.
        fall_db_per_second: Of a note that is held. Notes of a style with it are struck: none is bound to another.
    """

    attack_seconds: float = 0.05
    accent_db: float = 2.5
    decay_seconds: float = 0.25
    release_seconds: float = 0.09
    glide_seconds: float = 0.05
    vibrato_cents: float = 20.0
    vibrato_hz: float = 5.4
    vibrato_delay_seconds: float = 0.3
    vibrato_rise_seconds: float = 0.5
    bend_semitones: float = 2.0
    fall_db_per_second: float = 0.0

    def __post_init__(self) -> None:
        refuse(
            number_fault(f"A style's {each.name}", getattr(self, each.name), least=0, most=1000)
            for each in fields(self)
        )


STYLES = {
    "expressive": Style(),
    "plain": Style(0.008, 0.0, 0.1, 0.02, 0.0, 0.0),
    "struck": Style(0.004, 0.0, 0.1, 0.12, 0.0, 0.0, fall_db_per_second=20.0),
}


def style_of(style: str | Style | None, span: ModelRange | None = None) -> Style:
    """A style by its name, for an instrument.

    Args:
        style: A name, or a style; None for what the instrument's notes do: "struck" where they fall, else "expressive".
        span: The model's range, which says how fast its notes fall; "struck" notes do as these.

    Raises:
        ConfigError: There is none of that name.
    """
    if isinstance(style, Style):
        return style
    if style is None:
        style = "struck" if span is not None and span.struck else "expressive"
    if style == "struck" and span is not None and span.struck:
        return replace(STYLES[style], fall_db_per_second=span.fall_db_per_second or 0.0)
    if style not in STYLES:
        raise ConfigError(f"There is no style {style!r}.{near_matches(style, STYLES)} It knows {', '.join(STYLES)}.")
    return STYLES[style]


@dataclass
class _Channel:
    """What a channel's controllers are at."""

    volume: int = _USUAL_VOLUME
    expression: int = 127
    breath: int = 127
    pressure: int = 0
    wheel: int = 0
    bend: float = 0.0  # -1 to 1
    bend_semitones: float = 2.0
    sustain: bool = False
    portamento: bool = False
    portamento_time: int = 0
    parameter: tuple[int, int] = _NO_PARAMETER


@dataclass
class _Voice:
    """One voice, which is silent where `key` is None."""

    key: tuple[int, float] | None = None  # channel and note
    held: bool = False
    velocity: float = 0.0
    pressure: int = 0
    age: int = 0  # frames since the attack,
    since: int = 0  # since the last change of pitch,
    ended: int = 0  # and since its end
    from_pitch: float = 0.0
    to_pitch: float = 0.0
    glide: float = 0.0  # frames
    phase: float = 0.0  # of the vibrato, in cycles
    loudness_db: float = FLOOR_DB
    base_db: float = FLOOR_DB
    number: int = 0  # the higher, the later it began

    def pitch(self) -> float:
        if self.since >= self.glide:
            return self.to_pitch
        way = 0.5 - 0.5 * math.cos(math.pi * self.since / self.glide)
        return self.from_pitch + (self.to_pitch - self.from_pitch) * way


@dataclass
class Performer:
    """Plays what MIDI messages say, frame by frame.

    With one voice the last note counts, and a note that begins while another is held is bound to it. With more, each
    note has a voice; where there are too few, the oldest one is taken, released ones first.

    Args:
        frame_rate: Frames per second.
        voices: How many sound at once, 1 to 64.
        style: How notes are played.
        soft_db: Loudness of the softest velocity, in the model's kind.
        loud_db: And of the loudest.
        transpose: Semitones. A pitch that is then beyond what MIDI can say is silent.
        paired: A note's end ends the first of those on its key, as in a file; otherwise all of them, so that no key
            of a keyboard hangs.

    Attributes:
        cut_short: Notes so far whose voice a later one took while they were held.
    """

    frame_rate: float = 250.0
    voices: int = 1
    style: Style = STYLES["expressive"]
    soft_db: float = -45.0
    loud_db: float = -20.0
    transpose: float = 0.0
    paired: bool = False
    cut_short: int = field(default=0, init=False)
    _voices: list[_Voice] = field(default_factory=list, repr=False)
    _channels: dict[int, _Channel] = field(default_factory=dict, repr=False)
    _keys: list[tuple[tuple[int, float], float]] = field(default_factory=list, repr=False)  # down, with velocities
    _begun: int = 0

    def __post_init__(self) -> None:
        refuse([whole_fault("voices", self.voices, least=1, most=MOST_VOICES)])
        self._voices = [_Voice() for _ in range(self.voices)]

    @property
    def sounding(self) -> int:
        """Voices that sound."""
        return sum(voice.key is not None for voice in self._voices)

    def message(self, data: Sequence[int]) -> None:
        """Take a MIDI message.

        Args:
            data: Its bytes, with the status. What is no message of a channel, or is cut short, changes nothing.
        """
        if len(data) < 2 or not 0x80 <= data[0] < 0xF0:
            return
        kind, channel, first = data[0] & 0xF0, data[0] & 0x0F, data[1] & 127
        second = data[2] & 127 if len(data) > 2 else 0
        if kind == 0x90 and second:
            self.note_on(first, second, channel=channel)
        elif kind in (0x80, 0x90):
            self.note_off(first, channel=channel)
        elif kind == 0xA0:
            for voice in self._voices:
                if voice.key == (channel, first):
                    voice.pressure = second
        elif kind == 0xB0:
            self._control(channel, first, second)
        elif kind == 0xD0:
            self._channel(channel).pressure = first
        elif kind == 0xE0:
            self._channel(channel).bend = max(-1.0, (first + 128 * second - 8192) / 8191)

    def note_on(self, pitch: float, velocity: float, *, channel: int = 0) -> None:
        """Begin a note.

        Args:
            pitch: As MIDI counts.
            velocity: 1 to 127.
            channel: 0 to 15.
        """
        key = (channel, pitch)
        bound = bool(self._keys)
        self._keys = [entry for entry in self._keys if self.paired or entry[0] != key] + [(key, velocity)]
        voice = self._voices[0] if self.voices == 1 else self._free(key)
        again = voice.key == key  # what is played again begins again
        if self.voices == 1 and bound and voice.held and not again and not self.style.fall_db_per_second:
            self._slur(voice, key, velocity)
            return
        self.cut_short += self.voices > 1 and voice.key is not None and voice.held and not again
        self._begun += 1
        where = self._channel(channel)
        glides = where.portamento and voice.to_pitch > 0
        self._turn(voice, pitch, self._portamento(where) if glides else 0.0)
        voice.key, voice.velocity, voice.held, voice.age, voice.ended = key, velocity, True, 0, 0
        voice.pressure, voice.phase, voice.number, voice.base_db = 0, 0.0, self._begun, self._base_db(velocity)

    def note_off(self, pitch: float, *, channel: int = 0) -> None:
        """End a note, if it sounds; a pedal may hold it.

        Args:
            pitch: As at its beginning.
            channel: As at its beginning.
        """
        key = (channel, pitch)
        down = [entry[0] for entry in self._keys]
        if self.paired and down.count(key) > 1:
            del self._keys[down.index(key)]
            return
        self._keys = [entry for entry in self._keys if entry[0] != key]
        for voice in self._voices:
            if voice.key == key and voice.held:
                if self.voices == 1 and self._keys and not self.style.fall_db_per_second:
                    self._slur(voice, *self._keys[-1])
                else:
                    voice.held = self._channel(channel).sustain

    def all_off(self, *, channel: int | None = None) -> None:
        """End all notes, and release the pedal.

        Args:
            channel: Of this one alone, 0 to 15; by default of all.
        """
        self._keys = [entry for entry in self._keys if channel not in (None, entry[0][0])]
        for voice in self._voices:
            if voice.key and channel in (None, voice.key[0]):
                voice.held = False
        for number, each in self._channels.items():
            if channel in (None, number):
                each.sustain = False

    def gains(self) -> NDArray[np.float32]:
        """The volume (CC 7) of the channels that the voices play, `[voices]`: a factor, 1 where nobody has set it.

        It is meant for the sound that a voice makes, and changes none of the loudness that `frames` gives.

        Source: General MIDI's 40 log10(value / 127) dB, here against the usual value, 100.
        """
        volumes = [self._channel(voice.key[0]).volume if voice.key else _USUAL_VOLUME for voice in self._voices]
        return (np.asarray(volumes, np.float32) / np.float32(_USUAL_VOLUME)) ** 2

    def frames(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The next frames.

        Args:
            count: How many.

        Returns:
            `f0_hz`, 0 where silent, and `loudness_db`, -80 where silent; each `[voices, count]`.
        """
        f0_hz = np.zeros((self.voices, count), np.float32)
        loudness_db = np.full((self.voices, count), FLOOR_DB, np.float32)
        for row, voice in enumerate(self._voices):
            for t in range(count):
                if voice.key is None:
                    break
                f0_hz[row, t], loudness_db[row, t] = self._frame(voice)
        return f0_hz, loudness_db

    def _frame(self, voice: _Voice) -> tuple[float, float]:
        assert voice.key is not None  # noqa: S101 - of a silent voice nobody asks
        style, rate, channel = self.style, self.frame_rate, self._channel(voice.key[0])
        seconds = voice.since / rate
        vibrato = style.vibrato_cents * _ramp(
            (seconds - style.vibrato_delay_seconds) / max(style.vibrato_rise_seconds, _SHORT)
        )
        vibrato += _WHEEL_CENTS * channel.wheel / 127
        voice.phase = (voice.phase + style.vibrato_hz / rate) % 1.0
        bend = channel.bend * channel.bend_semitones
        pitch = voice.pitch() + bend + self.transpose + vibrato / 100 * math.sin(2 * math.pi * voice.phase)
        voice.base_db += (self._base_db(voice.velocity) - voice.base_db) * min(1.0, 1 / (_SLUR_SECONDS * rate))
        asked = voice.base_db + style.accent_db * math.exp(-voice.age / (rate * max(style.decay_seconds, _SHORT)))
        asked += _BEGINS_DB * (1 - _ramp((voice.age + 1) / (rate * max(style.attack_seconds, _SHORT))))
        asked -= style.fall_db_per_second * voice.age / rate
        asked += _PRESSURE_DB * max(channel.pressure, voice.pressure) / 127
        quietest = min(channel.expression, channel.breath)
        loudest = max(channel.expression, channel.breath)
        asked = asked + 40 * math.log10(quietest * loudest / 127**2) if quietest else FLOOR_DB
        if not voice.held:
            voice.ended += 1
            asked -= _RELEASE_DB * voice.ended / max(1.0, rate * style.release_seconds)
            if voice.ended >= rate * style.release_seconds:
                voice.key = None
        voice.age += 1
        voice.since += 1
        if not LOWEST <= pitch <= HIGHEST:
            return 0.0, FLOOR_DB
        return 440.0 * 2 ** ((pitch - 69) / 12), min(0.0, max(FLOOR_DB, asked))

    def _base_db(self, velocity: float) -> float:
        return self.soft_db + (self.loud_db - self.soft_db) * (velocity - 1) / 126

    def _free(self, key: tuple[int, float]) -> _Voice:
        def order(voice: _Voice) -> tuple[bool, bool, bool, int]:
            return voice.key != key, voice.key is not None, voice.held, voice.number

        return min(self._voices, key=order)

    def _slur(self, voice: _Voice, key: tuple[int, float], velocity: float) -> None:
        where = self._channel(key[0])
        self._turn(voice, key[1], self._portamento(where) if where.portamento else self.style.glide_seconds)
        voice.key, voice.velocity, voice.held, voice.pressure = key, velocity, True, 0

    def _turn(self, voice: _Voice, pitch: float, glide_seconds: float) -> None:
        voice.from_pitch, voice.to_pitch = voice.pitch(), pitch
        voice.glide, voice.since = glide_seconds * self.frame_rate, 0

    def _portamento(self, channel: _Channel) -> float:
        return 0.02 + 1.5 * (channel.portamento_time / 127) ** 2

    def _channel(self, number: int) -> _Channel:
        if number not in self._channels:
            self._channels[number] = _Channel(bend_semitones=self.style.bend_semitones)
        return self._channels[number]

    def _control(self, number: int, controller: int, value: int) -> None:
        channel = self._channel(number)
        names = {1: "wheel", 2: "breath", 5: "portamento_time", 7: "volume", 11: "expression"}
        if controller in names:
            setattr(channel, names[controller], value)
        elif controller == 64:
            channel.sustain = value >= PRESSED
            down = {key for key, _ in self._keys}
            for voice in self._voices:
                if voice.key and voice.key[0] == number and not channel.sustain and voice.key not in down:
                    voice.held = False
        elif controller == 65:
            channel.portamento = value >= PRESSED
        elif controller in (100, 101):  # which parameter the data entry below is of
            low, high = channel.parameter
            channel.parameter = (value, high) if controller == 100 else (low, value)
        elif controller in (98, 99):  # it is of one that is not registered, none of which are known here
            channel.parameter = _NO_PARAMETER
        elif controller == 6 and channel.parameter == (0, 0):
            channel.bend_semitones = float(value)
        elif controller == 38 and channel.parameter == (0, 0):  # and cents
            channel.bend_semitones = math.floor(channel.bend_semitones) + min(value, 99) / 100
        elif controller in (120, 123):
            self.all_off(channel=number)
        elif controller == 121:
            self._channels[number] = _Channel(volume=channel.volume, bend_semitones=channel.bend_semitones)
            self._control(number, 64, 0)


def _ramp(x: float) -> float:
    return min(1.0, max(0.0, x))


def dynamics_of(span: ModelRange | None, loudness_kind: str) -> tuple[float, float]:
    """Loudness of the softest and of the loudest velocity: what the model was trained on.

    Args:
        span: The model's range; None where it is unknown.
        loudness_kind: The kind of loudness that drives it.
    """
    if span is not None:
        # where notes fall, the softest frames are ends of notes, and not how a soft one begins
        return span.loudness_db.at(0.5 if span.struck else 0.05), span.loudness_db.at(0.99)
    return (-65.0, -35.0) if loudness_kind == "mean_db" else (-45.0, -15.0)
