"""The wheel, the builds for other machines, the C program of the README, and what the library does not do."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile
import zoo_player
from building import build_wheels
from conftest import PLAYER
from programs import SMALL, file_of, phrase, small_file, small_model
from zoo_player import build

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-psabi")
README = (PLAYER / "README.md").read_text()


def run(*words, **options):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)


def test_wheel_has_the_library_and_its_sources_and_is_for_this_machine(tmp_path):
    wheel = build_wheels([PLAYER], tmp_path)["ddsp_zoo_player"]
    names = zipfile.ZipFile(wheel).namelist()
    assert f"zoo_player/{build.library_name()}" in names
    assert {"zoo_player/csrc/player.c", "zoo_player/csrc/zoo_player.h", "zoo_player/py.typed"} <= set(names)
    assert "zoo_player/zoo_player.wasm" in names  # pages for browsers are made without a compiler
    assert re.search(r"-py3-none-(?!any)\w+\.whl$", wheel.name)


def test_zig_is_asked_for_only_where_there_is_no_compiler(monkeypatch, tmp_path):
    code = "from hatchling.build import get_requires_for_build_wheel as asked; print(asked())"
    have = run(sys.executable, "-c", code, cwd=PLAYER)
    assert ("ziglang" in have.stdout) == (build.system_compiler() is None), have.stderr
    none = run(sys.executable, "-c", code, cwd=PLAYER, env={"PATH": str(tmp_path)})
    assert "ziglang" in none.stdout, none.stderr


def test_library_shows_only_its_interface_and_needs_only_memory_functions():
    if shutil.which("nm") is None:
        pytest.fail("nm (binutils) is needed")
    library = Path(zoo_player.__file__).with_name(build.library_name())
    lines = [line.split() for line in run("nm", "-D", library).stdout.splitlines()]
    shown = {line[-1] for line in lines if line[-2] in "TDBR"}
    assert shown == set(re.findall(r"^ZOO_API .*?(\w+)\(", (PLAYER / "csrc/zoo_player.h").read_text(), re.M))
    needed = {line[-1].split("@")[0] for line in lines if line[-2] == "U"}
    assert needed <= {"memcpy", "memmove", "memset", "__stack_chk_fail"}


def test_program_of_the_readme_plays_a_scale(compile_c, tmp_path):
    source = tmp_path / "scale.c"
    source.write_text(re.search(r"```c\n(.*?)```", README, re.DOTALL)[1])
    program = compile_c("scale", source, flags=STRICT, libraries=("-lm",))
    (tmp_path / "gru.zoo").write_bytes(small_file("gru"))
    done = run(program, tmp_path / "gru.zoo", tmp_path / "scale.wav")
    assert done.returncode == 0, done.stderr
    audio, rate = soundfile.read(tmp_path / "scale.wav", dtype="float32")
    frames = len(audio) // 64
    assert rate == 16000
    assert frames == 8 * 62
    steps = np.array([0, 2, 4, 5, 7, 9, 11, 12])[np.arange(frames) * 8 // frames]
    expected = zoo_player.Instrument(small_file("gru")).process(440 * 2 ** (steps / 12), np.full(frames, -20.0))
    assert np.abs(audio - expected).max() < 1e-3  # powf may round otherwise, and phases add it up over two seconds
    (tmp_path / "bad.zoo").write_bytes(small_file("gru")[:500])
    refused = run(program, tmp_path / "bad.zoo", tmp_path / "bad.wav")
    assert refused.returncode == 1
    assert "cut short" in refused.stderr


ALLOCATIONS = r"""
#include <stdio.h>
#include <stdlib.h>
#include "zoo_player.h"
static int forbidden;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size) { if (forbidden) abort(); return __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { (void)n, (void)size; abort(); }
void *__wrap_realloc(void *p, size_t size) { (void)p, (void)size; abort(); }
int main(int count, char **words) {
    FILE *in = fopen(words[1], "rb");
    fseek(in, 0, SEEK_END);
    size_t size = (size_t)ftell(in);
    rewind(in);
    char *file = malloc(size);
    if (fread(file, 1, size, in) != size) return 1;
    size_t bytes = zoo_player_bytes(file, size, 2);
    char *memory = malloc(bytes + 64);
    forbidden = 1;
    if (count == 3) return malloc(8) != 0; /* that the trap works */
    int error;
    zoo_player *player = zoo_player_init(memory + 64 - (uintptr_t)memory % 64, bytes, file, size, 2, 0, &error);
    float f0[8] = {300, 0, 300, 300, 200, 100, 0, 0}, loudness[8] = {0}, audio[8 * 64];
    const float *inputs[2] = {f0, loudness};
    for (int i = 0; i < 50; i++) error |= zoo_player_process(player, inputs, NULL, 4, audio);
    error |= zoo_player_finish(player, audio);
    zoo_player_reset(player);
    return error;
}
"""


def test_nothing_is_allocated_after_set_up(compile_c, tmp_path, small_files):
    source = tmp_path / "allocations.c"
    source.write_text(ALLOCATIONS)
    wraps = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
    program = compile_c("allocations", source, flags=(*wraps, "-Wno-psabi"))
    for file in small_files.values():
        assert run(program, file).returncode == 0
    assert run(program, small_files["gru"], "trap").returncode != 0


def test_altered_files_do_no_harm(compile_c, small_files):
    """Some thousands of `player/fuzz/fuzz.c`, with the sanitizers where the compiler has them."""
    flags = ["-g", "-DZP_MAX_WORK=4194304", "-Wno-psabi"]
    watched = [*flags, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DZP_FUZZ"]
    try:
        program = compile_c("fuzzer", PLAYER / "fuzz" / "fuzz.c", flags=watched)
    except build.BuildError:
        program = compile_c("fuzzer", PLAYER / "fuzz" / "fuzz.c", flags=flags)
    done = run(program, 3000, 7, *small_files.values())
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {text: int(number) for number, text in re.findall(r"(\d+) (.*)", done.stdout)}
    assert counts["played"] > 600
    assert len(counts) > 5


@pytest.fixture(scope="module")
def webassembly(tmp_path_factory):
    if build.zig_compiler() is None or shutil.which("node") is None:
        pytest.fail("ziglang and node are needed")
    return build.build_for("wasm32", tmp_path_factory.mktemp("wasm"))


def test_library_for_browsers_is_that_of_these_sources(webassembly):
    """Another compiler gives other bytes, so they are compared for the version that wrote those of the package."""
    shipped = build.web_library()
    wanted = re.search(r"^ziglang==(.*)$", (PLAYER.parent / "constraints.txt").read_text(), re.M)[1]
    if version("ziglang") == wanted:
        advice = "python -m zoo_player.build --target wasm32 --out player/zoo_player"
        assert shipped.read_bytes() == webassembly.read_bytes(), advice
    names = set(re.findall(r"^ZOO_API .*?(\w+)\(", (PLAYER / "csrc/zoo_player.h").read_text(), re.M))
    assert all(name.encode() in shipped.read_bytes() for name in names)


@pytest.mark.parametrize("kind", ["gru", "wavetable"])
def test_webassembly_gives_the_same_audio(kind, webassembly, tmp_path):
    module = webassembly
    assert module.stat().st_size < 72_000
    f0, loudness = phrase(200)
    (tmp_path / "a.zoo").write_bytes(small_file(kind))
    (tmp_path / "curves.f32").write_bytes(f0.tobytes() + loudness.tobytes())
    script = PLAYER.parent / "tests" / "player" / "play.mjs"
    done = run("node", script, module, tmp_path / "a.zoo", tmp_path / "curves.f32", tmp_path / "audio.f32")
    assert done.returncode == 0, done.stderr
    audio = np.fromfile(tmp_path / "audio.f32", np.float32)
    assert np.abs(audio - zoo_player.Instrument(small_file(kind)).process(f0, loudness)).max() < 2e-6


def test_unknown_target_and_missing_compiler_are_plain_errors(tmp_path):
    command = (sys.executable, "-m", "zoo_player.build")
    unknown = run(*command, "--target", "amiga", "--out", tmp_path)
    assert unknown.returncode == 2
    assert "invalid choice" in unknown.stderr
    assert "Warning" not in unknown.stderr
    code = "import sys; sys.modules['ziglang'] = None; from zoo_player.build import main; sys.exit(main(sys.argv[1:]))"
    hidden = (
        "import importlib.util as u; old = u.find_spec; u.find_spec = lambda n, *a: n != 'ziglang' and old(n, *a); "
    )
    missing = run(sys.executable, "-c", hidden + code, "--target", "wasm32", "--out", tmp_path)
    assert missing.returncode == 1
    assert "pip install ziglang" in missing.stderr
    assert "Traceback" not in missing.stderr
    assert not list(tmp_path.iterdir())


def test_files_of_a_model_are_the_same_every_time():
    assert file_of(small_model("gru")) == small_file("gru")
    assert set(SMALL) >= {"gru", "tcn", "s4", "ddx7", "wavetable"}
