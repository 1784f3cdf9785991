"""Audio devices by sounddevice, MIDI ports by python-rtmidi: found by name, opened, and told of in plain words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zoo.errors import ConfigError, DeviceError

_PORTAUDIO = (
    "PortAudio, which sounddevice plays with, was not found. Debian, Ubuntu: apt-get install libportaudio2; "
    "Fedora: dnf install portaudio; macOS: brew install portaudio"
)
_NO_DEVICE = (
    "This machine shows no audio device. On Linux with PulseAudio or PipeWire: apt-get install libasound2-plugins, "
    'and a file ~/.asoundrc with the line: pcm.!default { type pulse }. "zoo live --list-devices" shows what there is.'
)
VIRTUAL_PORT = "zoo"


@contextmanager
def without_native_errors() -> Iterator[None]:
    """Leave out what PortAudio and ALSA write to the error stream by themselves; Python's own `sys.stderr` goes on.

    They try many devices, and complain of each that fails, though another one works. What fails in the end is raised.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed: nothing is seen of it
        yield
        return
    python, nowhere = sys.stderr, os.open(os.devnull, os.O_WRONLY)
    with os.fdopen(kept, "w", errors="backslashreplace", buffering=1) as own:
        if _descriptor(python) == 2:
            python.flush()
            sys.stderr = own
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            sys.stderr = python
            own.flush()
            os.dup2(kept, 2)


def _descriptor(stream: Any) -> int | None:  # noqa: ANN401 - any file, or what stands in for one
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return None


def sounddevice() -> Any:  # noqa: ANN401 - the module
    """Import sounddevice.

    Raises:
        DeviceError: It or PortAudio is not installed.
    """
    try:
        with without_native_errors():  # the first import initialises PortAudio
            import sounddevice as module
    except ModuleNotFoundError:
        raise DeviceError("Audio devices need the package sounddevice. Type: pip install 'ddsp-zoo[live]'") from None
    except OSError:  # on Linux its wheel does not bring PortAudio
        raise DeviceError(f"{_PORTAUDIO}.") from None
    return module


def device_lines() -> list[tuple[str, ...]]:
    """Audio devices, a row each: number, name, system, channels in and out, sample rate, what it is used for."""
    module = sounddevice()
    systems = [system["name"] for system in module.query_hostapis()]
    chosen = list(module.default.device)
    rows: list[tuple[str, ...]] = [("number", "device", "system", "in", "out", "Hz", "default for")]
    for number, device in enumerate(module.query_devices()):
        uses = [use for use, one in zip(("input", "output"), chosen, strict=True) if one == number]
        counts = (str(device[f"max_{way}_channels"]) for way in ("input", "output"))
        rate = f"{device['default_samplerate']:.0f}"
        rows.append((str(number), device["name"], systems[device["hostapi"]], *counts, rate, ", ".join(uses)))
    if len(rows) == 1:
        raise DeviceError(_NO_DEVICE)
    return rows


def find_device(asked: str | None, way: str) -> dict[str, Any]:
    """A device for input or output.

    Args:
        asked: Its number, or a part of its name; None for the system's own choice.
        way: "input" or "output".

    Returns:
        What sounddevice knows of it.

    Raises:
        DeviceError: There is none.
        ConfigError: There is none of that name.
    """
    module = sounddevice()
    try:
        number = int(asked) if asked is not None and asked.isdigit() else asked
        found: dict[str, Any] = module.query_devices(number, way)
        return found
    except (ValueError, module.PortAudioError) as error:
        if not len(module.query_devices()):
            raise DeviceError(_NO_DEVICE) from None
        what = f"no audio {way} by default" if asked is None else f"no audio {way} {asked!r}"
        raise ConfigError(f"There is {what} ({error}). zoo live --list-devices shows what there is.") from None


def open_midi(asked: str | None, receive: Callable[[Sequence[int]], None]) -> tuple[Any, str]:
    """Open a MIDI input.

    Args:
        asked: The port's number, or a part of its name; None or "" for the only one, or else for a port of our own that
            other programs can be connected to.
        receive: Gets each message's bytes, in a thread of its own.

    Returns:
        The port, which must be kept and closed, and its name.

    Raises:
        DeviceError: MIDI cannot be used here.
        ConfigError: There is no such port, or several.
    """
    try:
        import rtmidi
    except ImportError:
        raise DeviceError(
            "MIDI ports need the package python-rtmidi. Type: pip install 'ddsp-zoo[midi]' (where there is no "
            "wheel for this Python, it is compiled: apt-get install g++ libasound2-dev libjack-dev first)"
        ) from None
    with without_native_errors():
        port, names = _midi_input(rtmidi)
    if asked and asked.isdigit() and int(asked) < len(names):
        matching = [int(asked)]
    else:
        matching = [number for number, name in enumerate(names) if not asked or asked.lower() in name.lower()]
    listed = "; ".join(f"{number}: {name}" for number, name in enumerate(names)) or "none"
    if len(matching) > 1:
        raise ConfigError(f"Which MIDI port? Say its number or name, --midi 0. There are: {listed}.")
    if asked and not matching:
        raise ConfigError(f"There is no MIDI port {asked!r}. There are: {listed}.")

    def called(event: tuple[list[int], float], _: object) -> None:
        receive(event[0])

    port.ignore_types(sysex=True, timing=True, active_sense=True)
    port.set_callback(called)
    try:
        if matching:
            port.open_port(matching[0], name="in")
            return port, names[matching[0]]
        port.open_virtual_port("in")
    except (rtmidi.RtMidiError, NotImplementedError) as error:
        raise DeviceError(f"No MIDI input can be opened ({error}): connect a keyboard.") from None
    return port, f"{VIRTUAL_PORT}:in, a port of our own: connect a keyboard or a program to it"


def _midi_input(rtmidi: Any) -> tuple[Any, list[str]]:  # noqa: ANN401 - the module; its input port
    """The first of this machine's MIDI systems that has a port, or that works at all."""
    works, reasons = [], []
    for system in rtmidi.get_compiled_api():
        try:
            port = rtmidi.MidiIn(system, name=VIRTUAL_PORT)
            works.append((port, list(port.get_ports())))
        except rtmidi.RtMidiError as error:
            reasons.append(f"{rtmidi.get_api_display_name(system)}: {error}")
    if not works:
        server = " Is the JACK server running?" if sys.platform.startswith("linux") else ""
        raise DeviceError(f"No MIDI system can be used here ({'; '.join(reasons)}).{server}")
    return next((one for one in works if one[1]), works[0])
