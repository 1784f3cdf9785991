import os
import shutil
import subprocess
import time

import pytest
from sound_servers import Pulse, ended


@pytest.fixture
def pulse(tmp_path):
    if shutil.which("pulseaudio") is None:
        pytest.skip("needs PulseAudio: apt-get install pulseaudio pulseaudio-utils libportaudio2 libasound2-plugins")
    folder = tmp_path / "pulse"
    folder.mkdir()
    server = Pulse(folder)
    yield server
    ended(server.server)


@pytest.fixture
def jack(pulse, monkeypatch):
    """JACK without a sound card, which rtmidi makes virtual ports with."""
    if shutil.which("jackd") is None:
        pytest.skip("needs JACK: apt-get install jackd2")
    name = f"zoo-{os.getpid()}"
    monkeypatch.setenv("JACK_DEFAULT_SERVER", name)
    pulse.environment["JACK_DEFAULT_SERVER"] = name
    command = ["jackd", "--name", name, "-r", "-d", "dummy", "-r", "48000", "-p", "1024"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    yield process
    ended(process)
