"""An engine between audio devices: the callback, what is counted while it plays, a recording, a clean end.

Requirements: the callback only calls the engine and counts; nothing that happens in it ends the process silently; a
device that goes away ends the session with a message and a whole recording; Ctrl-C ends it as it should be.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ConfigError, DeviceError
from zoo.live.devices import find_device, sounddevice, without_native_errors
from zoo.storage.files import beside

_LOST_SECONDS = 3.0  # without a block: the device is gone
_CLOSING_SECONDS = 2.0
_LOOKS = 10  # at what has come in, per second


class Engine(Protocol):
    """What plays: `zoo_player.Live`, `MidiEngine`, `Probe`."""

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """As many samples as are given."""


@dataclass(frozen=True)
class Devices:
    """Which devices, and how.

    Attributes:
        input: Number, or a part of the name; None for the system's choice, "" for none.
        output: The same.
        sample_rate: In Hz; None for the output's own.
        blocksize: Samples per block.
        latency: What the system is asked for: "low", "high" or seconds.
    """

    input: str | None = None
    output: str | None = None
    sample_rate: int | None = None
    blocksize: int = 256
    latency: str | float = "low"

    def opened_at(self) -> int:
        """The sample rate, in Hz."""
        return self.sample_rate or round(find_device(self.output, "output")["default_samplerate"])


@dataclass
class Count:
    """What happened so far.

    Attributes:
        blocks: Played.
        dropouts: Of them, those before which samples were lost or missing.
        load: Time of the callback over the time of a block, lately,
        most: and at most.
        output_peak: Largest sample of the output, lately.
        device_seconds: Latency of input and output, as the system says.
        error: What went wrong in the callback.
    """

    blocks: int = 0
    dropouts: int = 0
    load: float = 0.0
    most: float = 0.0
    output_peak: float = 0.0
    device_seconds: tuple[float, float] = (0.0, 0.0)
    error: BaseException | None = None
    _last: float = field(default_factory=time.monotonic)


def run(
    engine: Engine,
    devices: Devices,
    *,
    seconds: float | None = None,
    record: Path | None = None,
    look: Callable[[Count], None] = lambda count: None,
) -> Count:
    """Let an engine play between devices until it is stopped.

    Args:
        engine: At `devices.opened_at()`.
        devices: Which ones.
        seconds: How long; None for until Ctrl-C.
        record: A wav file of the output, written whole at the end.
        look: Called ten times a second; may raise.

    Returns:
        What happened. A `KeyboardInterrupt` ends it as the time does.

    Raises:
        DeviceError: The devices cannot be opened, or went away.
    """
    module, count, recorded = sounddevice(), Count(), queue.SimpleQueue[NDArray[np.float32]]()
    rate = devices.opened_at()

    def callback(into: Any, out: Any, frames: int, status: Any) -> None:  # noqa: ANN401 - sounddevice's
        begin = time.perf_counter()
        try:
            made = engine.process(into[:, 0] if into is not None else np.zeros(frames, np.float32))
        except Exception as error:  # noqa: BLE001 - raised again where somebody hears it
            count.error = error
            raise module.CallbackAbort from None
        out[:] = made[:, None]
        if record is not None:
            recorded.put(made)
        spent = (time.perf_counter() - begin) * rate / frames
        count.load += (spent - count.load) * min(1.0, 4 * frames / rate)
        count.most = max(count.most, spent if count.blocks > 8 else 0.0)
        count.output_peak = max(float(np.abs(made).max(initial=0.0)), 0.9 * count.output_peak)
        # the first blocks are late everywhere: the devices start one after the other
        count.dropouts += bool(status) and not status.priming_output and count.blocks > 8
        count.blocks += 1
        count._last = time.monotonic()

    with ExitStack() as stack:
        file = None
        if record is not None:
            import soundfile

            written = stack.enter_context(beside(record))
            file = stack.enter_context(
                soundfile.SoundFile(written, "w", rate, 1, "FLOAT" if record.suffix == ".wav" else None, format="WAV")
            )
        stack.enter_context(without_native_errors())  # of each dropout, too
        stream = _opened(module, devices, rate, callback)
        latency = stream.latency
        count.device_seconds = latency if isinstance(latency, tuple) else (0.0, latency)
        until = None if seconds is None else time.monotonic() + seconds
        count._last = time.monotonic()
        lost: str | None = None
        try:
            while lost is None and (until is None or time.monotonic() < until):
                time.sleep(1 / _LOOKS)
                _write(file, recorded)
                look(count)
                lost = _lost(stream, count)
        except KeyboardInterrupt:
            pass
        finally:
            _closed(stream, module)
            _write(file, recorded)
    if count.error is not None:
        raise count.error
    if lost is not None:
        kept = f" What was played until then is in {record}." if record is not None else ""
        raise DeviceError(f"{lost}{kept} zoo live --list-devices shows what there is now.")
    return count


def _opened(module: Any, devices: Devices, rate: int, callback: Callable[..., None]) -> Any:  # noqa: ANN401
    hears = devices.input != ""
    output = find_device(devices.output, "output")
    numbers: list[int] = [output["index"]]
    channels: list[int] = [min(2, output["max_output_channels"])]
    if hears:
        numbers.insert(0, find_device(devices.input, "input")["index"])
        channels.insert(0, 1)
    common = {"samplerate": rate, "blocksize": devices.blocksize, "dtype": "float32", "latency": devices.latency}
    try:
        if hears:
            stream = module.Stream(
                device=tuple(numbers),
                channels=tuple(channels),
                callback=lambda into, out, frames, _, status: callback(into, out, frames, status),
                **common,
            )
        else:
            stream = module.OutputStream(
                device=numbers[0],
                channels=channels[0],
                callback=lambda out, frames, _, status: callback(None, out, frames, status),
                **common,
            )
        stream.start()
    except module.PortAudioError as error:
        own = f"{output['name']!r} has {output['default_samplerate']:.0f} Hz of its own"
        raise DeviceError(
            f"The audio devices cannot be opened at {rate} Hz in blocks of {devices.blocksize} ({error.args[0]}). "
            f"{own}. Try another --rate or --blocksize, devices of one system, or close what uses them."
        ) from None
    except ValueError as error:
        raise ConfigError(f"The audio devices cannot be opened: {error}.") from None
    return stream


def _closed(stream: Any, module: Any) -> None:  # noqa: ANN401
    """Close a stream; where a lost device makes PortAudio wait for ever, leave it, and let the process end without."""

    def close() -> None:
        with suppress(module.PortAudioError):
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(_CLOSING_SECONDS)
    if closing.is_alive() and (handler := getattr(module, "_exit_handler", None)) is not None:
        atexit.unregister(handler)  # it would wait, too


def _lost(stream: Any, count: Count) -> str | None:  # noqa: ANN401
    if count.error is not None:
        return "Playing failed."
    if time.monotonic() - count._last > _LOST_SECONDS:
        return f"No audio has come for {_LOST_SECONDS:.0f} s: was the device unplugged, or its server stopped?"
    return None if stream.active else "The audio device stopped: was it unplugged?"


def _write(file: Any, recorded: queue.SimpleQueue[NDArray[np.float32]]) -> None:  # noqa: ANN401
    while not recorded.empty():
        made = recorded.get()
        if file is not None:
            file.write(made)
