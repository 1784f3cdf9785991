"""Sound cards and cables that are none: PulseAudio with null sinks, and JACK's dummy driver with virtual MIDI ports."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Command:
    """`zoo live`, running."""

    def __init__(self, arguments, environment, folder):
        self.out, self.err = folder / "out.txt", folder / "err.txt"
        with self.out.open("w") as out, self.err.open("w") as err:
            command = [sys.executable, "-m", "zoo", "live", *map(str, arguments)]
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdout=out,
                stderr=err,
                # a suite that runs in the background ignores Ctrl-C, and so would this
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def ends(self, seconds=60):
        """Exit code, and what it said."""
        code = self.process.wait(seconds)
        return code, self.out.read_text(), self.err.read_text()


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.1)


class Pulse:
    """A server with two null sinks: what is played into `mic` is what the microphone hears; `out` is the output."""

    def __init__(self, folder: Path):
        self.folder = folder
        home = folder / "home"
        home.mkdir()
        folder.chmod(0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PULSE_")}
        self.environment = {
            **kept,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{folder}/native",
            "PULSE_SINK": "out",
            "PULSE_SOURCE": "mic.monitor",
            "OMP_NUM_THREADS": "1",
        }
        # norewinds: a null sink's blocks are of two seconds otherwise
        sinks = [f"module-null-sink sink_name={name} rate=48000 norewinds=1" for name in ("mic", "out")]
        modules = [f"module-native-protocol-unix socket={folder}/native auth-anonymous=1", *sinks]
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        loads = [word for module in modules for word in ("-L", module)]
        with (folder / "log.txt").open("w") as log:
            self.server = subprocess.Popen([*command, *loads], env=self.environment, stdout=log, stderr=log)
        wait_for((folder / "native").exists)

    def live(self, *arguments):
        """Start `zoo live` between the sinks."""
        where = ("--input", "pulse", "--output", "pulse", "--latency", "0.1", "--rate", "48000")
        return Command([*arguments, *where], self.environment, self.folder)

    def play(self, path, sink="mic"):
        """Play a file into a sink, to its end."""
        subprocess.run(["paplay", "-d", sink, str(path)], env=self.environment, check=True, timeout=60)

    def recorder(self, path):
        """Record what comes out, until the process is ended."""
        command = ["parecord", "-d", "out.monitor", "--channels=1", "--rate=48000", "--file-format=wav", str(path)]
        return subprocess.Popen(command, env=self.environment)


def ended(process):
    process.terminate()
    process.wait(10)
