"""`zoo doctor`, on this machine as it is and on broken ones."""

import functools
import http.server
import json
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from importlib import metadata

import pytest
import zoo_kernels

from zoo.__main__ import main
from zoo.commands import doctor
from zoo.commands.doctor import Report
from zoo.commands.environment import hub


def lay_out(folder, distribution, version, files):
    """What an installer leaves: a dist-info folder, and modules."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    for name, text in files.items():
        (info / name if name == "entry_points.txt" else folder / name).write_text(text)


def run(*arguments, path, **streams):
    return subprocess.run(
        [sys.executable, "-m", "zoo", "doctor", *arguments],
        env={**os.environ, "PYTHONPATH": str(path)},
        text=True,
        check=False,
        **(streams or {"capture_output": True}),
    )


def test_every_backend_and_component_has_its_line(capsys):
    assert main(["doctor"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    for kernel, backends in zoo_kernels.backends().items():
        for backend, state in backends.items():
            (line,) = [line for line in lines if line.startswith(f"kernels: {kernel} {backend}: ")]
            assert state in line
        assert sum(line.startswith(f"kernels: {kernel} ") and "(automatic on cpu" in line for line in lines) == 1
    assert any(line.startswith("components: ddsp-zoo ") and "decoders: gru" in line for line in lines)
    assert f"versions: torch: {metadata.version('torch')}" in lines
    assert lines[-1] == "All that zoo needs works here."
    assert captured.err == ""


def test_json_holds_what_the_lines_say(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    (tmp_path / "models" / "gru-S-flute").mkdir(parents=True)
    (tmp_path / "models" / "gru-S-flute" / "config.json").write_text("{}")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert found["problems"] == []
    assert found["folders"]["ZOO_HOME"] == f"{tmp_path} (from $ZOO_HOME)"
    assert found["folders"]["models"] == f"{tmp_path / 'models'} (1 model)"
    assert found["folders"]["datasets"].endswith("datasets (not there yet)")
    assert set(found) == {
        *("ok", "problems", "broken_plugins"),
        *("versions", "optional", "devices", "kernels", "folders", "golden audio"),
        *("components", "pitch", "plugins", "hub"),
    }
    assert found["broken_plugins"] == []
    assert found["folders"]["hub cache"].startswith(os.environ["HF_HOME"])
    assert found["folders"]["teachers' caches"].endswith("teachers (not there yet)")


def test_terminal_gets_headings_and_columns_within_its_width():
    report = Report({"kernels": {"cauchy numba": "ok", "cauchy keops": "it cannot " * 9}, "folders": {"a": "b"}})
    lines = list(report.to_table(60))
    assert lines[:2] == ["kernels", "  cauchy numba  ok"]
    assert lines[2].startswith("  cauchy keops  it cannot")
    assert lines[3].startswith("                cannot it")
    assert "  a             b" in lines
    assert max(map(len, lines)) <= 60


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    """Nothing listens there: no test asks the real Hub."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def test_accelerator_pitch_trackers_and_hub_have_lines(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("ZOO_NO_PLUGINS", "1")
    assert main(["doctor", "--check"]) == 0
    out = capsys.readouterr().out
    assert "devices: accelerator: " in out
    for tracker in ("pyin", "torchcrepe", "yin"):
        assert f"pitch: {tracker}: works (a tone of 440 Hz is 440 Hz; " in out
    assert "plugins: ZOO_NO_PLUGINS: set: plugins are left out\n" in out
    assert "hub: endpoint: http://127.0.0.1:9 (from $HF_ENDPOINT)\n" in out
    assert "hub: answer: http://127.0.0.1:9 does not answer" in out
    assert "hub: login: a token is saved here\n" in out
    assert "hf_secret" not in out


def test_hub_is_not_asked_when_offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("zoo.hub.client.reach", lambda access: pytest.fail("asked"))
    assert hub(Report())["answer"] == "not asked: HF_HUB_OFFLINE is set"


def test_hub_that_is_silent_does_not_hold_doctor_up(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:  # it takes the connection and never says a word
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("zoo.hub.client.ANSWER_SECONDS", 0.3)
        began = time.monotonic()
        answer = hub(Report())["answer"]
        assert time.monotonic() - began < 3
    assert "none within" in answer or "does not answer" in answer


def test_hub_that_answers_is_said_to(monkeypatch):
    class Answering(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert hub(Report())["answer"].startswith("yes, within ")
        server.shutdown()


@pytest.fixture
def examined_once(monkeypatch):
    """All that a test asks of the doctor is of one examination: each takes seconds."""
    monkeypatch.setattr(doctor, "examine", functools.cache(doctor.examine))


@pytest.mark.usefixtures("examined_once")
def test_broken_plugin_is_told_apart_and_is_no_problem_of_zoo(tmp_path, monkeypatch, capsys):
    entry_points = "[zoo_decoders]\nbuzz = kazoo:Buzz\n\n[zoo_metrics]\nhum = kazoo:hum\n"
    files = {"entry_points.txt": entry_points, "kazoo.py": "import not_there_at_all"}
    lay_out(tmp_path, "zoo-kazoo", "1.2", files)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "plugins: zoo-kazoo 1.2: broken: The decoder 'buzz' of zoo-kazoo 1.2 cannot be imported" in out
    assert "broken plugins: zoo-kazoo (zoo plugins says why)\n" in out
    assert "All that zoo needs works here." in out
    assert main(["doctor", "--check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["problems"], found["broken_plugins"]) == (False, [], ["zoo-kazoo"])
    assert "components: zoo-kazoo 1.2 decoders: buzz\n" in out
    (line,) = [line for line in out.splitlines() if line.startswith("components: decoder buzz: ")]
    assert "zoo-kazoo 1.2" in line
    assert "not_there_at_all" in line
    assert "tell the author of zoo-kazoo" in line


def test_broken_torch_is_the_one_problem_and_says_what_to_type(tmp_path):
    lay_out(tmp_path, "torch", "2.10", {"torch.py": "raise ImportError('libcudart.so')"})
    lay_out_broken_torchaudio(tmp_path, "OSError('undefined symbol: torch_exception')")  # which is none
    done = run("--check", path=tmp_path)
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    assert line.startswith("problem: torch 2.10 is not a version that zoo works with (>=2.11)")
    assert '"torch>=' in line
    assert "folders: ZOO_HOME: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("versions: torchaudio: ")]
    assert_told_and_never_imported(line)


def lay_out_broken_torchaudio(folder, error):
    lay_out(folder, "torchaudio", "2.11.1", {"torchaudio.py": f"raise {error}"})


def assert_told_and_never_imported(torchaudio):
    assert "cannot be imported" in torchaudio
    assert "nothing in zoo imports it" in torchaudio


@pytest.mark.usefixtures("examined_once")
def test_home_that_cannot_be_written_is_a_problem_and_the_exit_code_says_so_if_asked(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file" / "home"))
    assert main(["doctor"]) == 0
    assert "export ZOO_HOME=" in capsys.readouterr().out
    assert main(["doctor", "--check"]) == 1


def test_each_broken_requirement_is_one_problem_and_a_terminal_is_told_that_compiling_takes_a_while(tmp_path):
    """All in one run: a whole one takes long."""
    lay_out(tmp_path, "soxr", "1.0", {"soxr.py": "raise OSError('wrong')"})
    lay_out(tmp_path, "tqdm", "0.1", {})
    lay_out_broken_torchaudio(tmp_path, "ModuleNotFoundError('gone')")  # which is none
    ours, theirs = pty.openpty()
    try:
        done = run("--check", "--json", path=tmp_path, stdout=subprocess.PIPE, stderr=theirs)
        said = os.read(ours, 10_000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1, done.stdout
    assert b"compiling takes some seconds" in said
    assert b"Traceback" not in said
    found = json.loads(done.stdout)
    soxr, tqdm = sorted(found["problems"])
    assert soxr.startswith('soxr 1.0 cannot be imported (OSError: wrong). Type: pip install "soxr>=')
    assert tqdm == 'tqdm 0.1 is not a version that zoo works with (>=4.66). Type: pip install "tqdm>=4.66"'
    assert_told_and_never_imported(found["versions"]["torchaudio"])
    assert found["pitch"]["torchcrepe"].startswith("works")


def test_doctor_itself_needs_nothing_of_what_it_examines(tmp_path):
    for name in ("catalogue", "torch", "numpy", "huggingface_hub", "packaging", "platformdirs"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('gone')")
    code = "import zoo.__main__, zoo.commands.doctor"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=True)
