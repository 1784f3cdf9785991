import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo.errors import InUseError
from zoo.storage import lock_files
from zoo.storage.files import new_folder
from zoo.storage.locks import IN_USE, hold, hold_name, holder_of, is_empty, locked, refuse_if_held

HOLDER = """
import sys, time
from zoo.storage.locks import hold
with hold(sys.argv[1], doing="training gru-S", advice="take another --out"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_second_process_is_told_who_has_the_folder_since_when_and_what_to_do(tmp_path, holder):
    with pytest.raises(InUseError) as error, hold(tmp_path / "run", doing="x", advice="take another --out"):
        pass
    said = str(error.value)
    for part in (str(tmp_path / "run"), "training gru-S", f"process {holder.pid}", "since 20", "take another --out"):
        assert part in said
    assert holder_of(tmp_path / "run").pid == holder.pid


def test_every_path_and_every_home_meet_the_same_lock(tmp_path, holder, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "another"))
    for path in ("run", "link", "link/../run", tmp_path / "run"):
        with pytest.raises(InUseError), hold(path, doing="x", advice="wait"):
            pass
        with pytest.raises(InUseError):
            refuse_if_held(path, advice="wait")


def test_lock_of_a_killed_process_blocks_nobody(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / IN_USE).exists()
    assert holder_of(tmp_path / "run") is None
    with hold(tmp_path / "run", doing="x", advice="wait"):
        assert holder_of(tmp_path / "run").pid == os.getpid()
    assert not (tmp_path / "run" / IN_USE).exists()


def test_another_thread_of_the_same_process_is_kept_out_too(tmp_path):
    said = []

    def want():
        try:
            with hold(tmp_path / "run", doing="x", advice="wait"):
                pass
        except InUseError as error:
            said.append(str(error))

    with hold(tmp_path / "run", doing="preparing", advice="wait"):
        thread = threading.Thread(target=want)
        thread.start()
        thread.join()
        refuse_if_held(tmp_path / "run", advice="wait")  # this process may go on with what it has
    assert "this process" in said[0]


def test_forked_child_neither_has_nor_ends_its_parents_lock(tmp_path):
    with hold(tmp_path / "run", doing="x", advice="wait"):
        if (child := os.fork()) == 0:
            time.sleep(0.01)
            os._exit(0)
        os.waitpid(child, 0)
        assert holder_of(tmp_path / "run").here
        code = "import sys; from zoo.storage.locks import hold\nwith hold(sys.argv[1], doing='', advice='wait'): pass"
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True)
        assert "InUseError" in done.stderr


def test_folder_that_was_made_for_nothing_goes_again(tmp_path):
    with hold(tmp_path / "a" / "b" / "run", doing="x", advice="wait"):
        assert is_empty(tmp_path / "a" / "b" / "run")
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    with hold(tmp_path / "mine", doing="x", advice="wait"):
        pass
    assert list((tmp_path / "mine").iterdir()) == []


def test_planted_link_is_refused_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / IN_USE).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="remove it"), hold(tmp_path / "run", doing="x", advice="wait"):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_own_locks_lie_where_nobody_else_can_write(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "locks").mkdir(mode=0o777)
    (tmp_path / "home" / "locks").chmod(0o777)
    with locked(tmp_path / "x"):
        found = (tmp_path / "home" / "locks").stat()
    assert stat.S_IMODE(found.st_mode) == 0o700
    # a link in place of the folder, planted in a temporary folder that all can write to
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file" / "home"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "tmp" / f"ddsp-zoo-locks-{os.geteuid()}").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(lock_files.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    with pytest.raises(OSError, match="ZOO_HOME"), locked(tmp_path / "x"):
        pass
    assert list((tmp_path / "victim").iterdir()) == []


def test_where_no_locks_can_be_made_the_users_own_folder_serves(tmp_path, monkeypatch, caplog):
    real = lock_files._try_lock

    def no_locks_there(file):  # as some network file systems answer
        if Path(f"/proc/self/fd/{file}").readlink().is_relative_to(tmp_path / "run"):
            raise OSError(errno.ENOLCK, "No locks available")
        return real(file)

    monkeypatch.setattr(lock_files, "_try_lock", no_locks_there)
    with hold(tmp_path / "run", doing="training", advice="wait"):
        assert "no locks can be made" in caplog.text
        with pytest.raises(InUseError, match="training"), hold(tmp_path / "run", doing="x", advice="wait"):
            pass


def test_ctrl_c_ends_the_wait_for_a_lock(tmp_path):
    code = "import sys; from zoo.storage.locks import locked\nprint('waits', flush=True)\n"
    code += "with locked(sys.argv[1]): print('had')"
    with locked(tmp_path / "x"):
        waiting = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "x"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Tests that a shell put into the background ignore Ctrl-C, and so would their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert waiting.stdout.readline() == "waits\n"
        time.sleep(0.3)
        waiting.send_signal(signal.SIGINT)
        rest, errors = waiting.communicate(timeout=20)
    assert rest == ""
    assert "KeyboardInterrupt" in errors


def test_name_is_had_by_one_though_nothing_stands_there_yet(tmp_path):
    with (
        hold_name(tmp_path / "model", doing="training", advice="take another --name"),
        pytest.raises(InUseError, match="another --name"),
        hold_name(tmp_path / "model", doing="x", advice="take another --name"),
    ):
        pass
    assert not (tmp_path / "model").exists()


def test_folder_is_replaced_without_a_moment_in_which_it_is_missing(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "0").write_text("")
    stop, missing = threading.Event(), []

    def look():
        while not stop.is_set():
            missing.extend([] if (tmp_path / "model").is_dir() else [1])

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(50):
        with new_folder(tmp_path / "model") as folder:
            (folder / str(number)).write_text("")
    stop.set()
    thread.join()
    assert missing == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["49"]


def test_check_before_a_replacement_keeps_what_is_there(tmp_path):
    (tmp_path / "model").mkdir()

    def taken():
        raise InUseError("taken")

    with pytest.raises(InUseError), new_folder(tmp_path / "model", check=taken) as folder:
        (folder / "new").write_text("")
    assert list((tmp_path / "model").iterdir()) == []


def test_new_files_get_the_users_mode_without_a_change_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with new_folder(tmp_path / "model") as folder:
            pass
        assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o750
        assert folder != tmp_path / "model"
    finally:
        os.umask(before)
