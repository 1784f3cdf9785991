import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import zoo_player
from zoo_player import build

import zoo
from zoo.errors import ConfigError, PluginError
from zoo.streaming import instrument_file

FLAGS = ("-O2", "-std=gnu99", "-fno-strict-aliasing")
SCALE_HZ = np.array([440.0, 493.883, 554.365, 587.33, 659.255, 739.989, 830.609, 880.0], np.float32)

WASI = """
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";
const wasi = new WASI({ version: "preview1", args: ["scale"], returnOnExit: true });
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), wasi.getImportObject());
process.exitCode = wasi.start(instance);
"""

TWO = """
#include <stdio.h>
#include "zoo_player.h"
extern const uint64_t flute[], other[];
extern const size_t flute_bytes, other_bytes;
int main(void) {
    zoo_info info;
    if (zoo_check(flute, flute_bytes, &info)) return 1;
    printf("%.*s\\n", (int)info.text_bytes, info.text);
    if (zoo_check(other, other_bytes, &info)) return 1;
    printf("%.*s\\n", (int)info.text_bytes, info.text);
    return 0;
}
"""


@pytest.fixture(autouse=True)
def kept_libraries(pytestconfig, monkeypatch):
    """zig builds a C library per target, a minute each: once per checkout."""
    cache = getattr(pytestconfig, "cache", None)  # pytest can be told to keep none
    if cache is not None and "ZIG_GLOBAL_CACHE_DIR" not in os.environ:
        monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(cache.mkdir("zig")))


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    return zoo.export(small, "c", tmp_path_factory.mktemp("c") / "flute")


@pytest.fixture(scope="module")
def expected(small):
    f0_hz = SCALE_HZ.repeat(62)
    return zoo_player.Instrument(instrument_file(small)).process(f0_hz, np.full(len(f0_hz), -20.0))


def test_folder_has_all_that_is_compiled_and_an_example(folder, expected, tmp_path):
    shutil.move(shutil.copytree(folder, tmp_path / "copy"), tmp_path / "elsewhere")
    compiler = build.system_compiler() or build.zig_compiler()
    sources = sorted((tmp_path / "elsewhere").glob("*.c"))
    build.compile_program([*compiler, *FLAGS, "-Wno-psabi", "-Werror"], sources, tmp_path / "scale")
    subprocess.run([tmp_path / "scale", tmp_path / "scale.wav"], check=True)
    audio, rate = soundfile.read(tmp_path / "scale.wav", dtype="float32")
    assert rate == 16000
    assert np.abs(audio - expected).max() < 1e-5
    assert "gru-S-flute in C" in (folder / "README.md").read_text()
    assert (folder.parent / "flute.export.json").is_file()


@pytest.mark.parametrize(
    ("target", "emulator"),
    [
        ("aarch64-linux-musl", ("qemu-aarch64",)),
        ("arm-linux-musleabihf", ("qemu-arm",)),
        ("wasm32-wasi", ("node", "--no-warnings", "run.mjs")),
    ],
)
def test_commands_of_the_readme_make_programs_that_play_the_same(folder, expected, target, emulator, tmp_path):
    if shutil.which(emulator[0]) is None:
        pytest.skip(f"{emulator[0]} is not installed (Debian: apt install qemu-user nodejs)")
    here = shutil.copytree(folder, tmp_path / "flute")
    (here / "run.mjs").write_text(WASI)
    command = re.search(f"^python (.* -target {target} .*)$", (here / "README.md").read_text(), re.MULTILINE)[1]
    subprocess.run(f"{shlex.quote(sys.executable)} {command}", shell=True, cwd=here, check=True)
    program = next(here / name for name in ("scale", "scale.wasm") if (here / name).is_file())
    done = subprocess.run([*emulator, program], cwd=here, capture_output=True, check=True)
    audio = np.frombuffer(done.stdout[44:], np.float32)
    assert np.abs(audio - expected).max() < 1e-5


def test_several_instruments_play_in_one_program(folder, tmp_path):
    compiler = build.system_compiler() or build.zig_compiler()
    torch.manual_seed(1)
    other = zoo.export(zoo.create("gru-XS").eval(), "c", tmp_path / "other")
    (tmp_path / "main.c").write_text(TWO)
    for name, here in (("flute", folder), ("other", other)):
        names = f"-Dzoo_instrument={name}", f"-Dzoo_instrument_bytes={name}_bytes", "-c"
        build.compile_program([*compiler, *FLAGS, *names], [here / "instrument.c"], tmp_path / f"{name}.o")
    sources = [source for source in folder.glob("*.c") if source.name not in ("main.c", "instrument.c")]
    files = [*sources, *(tmp_path / name for name in ("main.c", "flute.o", "other.o"))]
    build.compile_program([*compiler, *FLAGS, f"-I{folder}"], files, tmp_path / "two")
    said = subprocess.run([tmp_path / "two"], capture_output=True, text=True, check=True).stdout
    assert said.count('"name": "gru-S-flute"') == said.count('"name": "gru-XS"') == 1


def test_array_has_the_name_that_cpp_looks_for(folder, tmp_path):
    compiler = build.zig_compiler()
    if compiler is None:
        pytest.skip("ziglang is not installed")
    (tmp_path / "host.cpp").write_text('#include "instrument.h"\nuint64_t first() { return zoo_instrument[0]; }\n')
    # on Windows, Clang gives a variable of C++ another name than one of C
    command = [*compiler[:-1], "c++", "-target", "x86_64-windows-msvc", "-ffreestanding", "-c", f"-I{folder}"]
    build.compile_program(command, [tmp_path / "host.cpp"], tmp_path / "host.obj")
    made = (tmp_path / "host.obj").read_bytes()
    assert b"zoo_instrument" in made
    assert b"?zoo_instrument" not in made


def test_weights_of_fewer_bits_make_a_smaller_array(tmp_path):
    torch.manual_seed(0)
    model = zoo.create("gru-S", hidden_size=64).eval()
    sizes = [
        (zoo.export(model, "c", tmp_path / weights, weights=weights) / "instrument.c").stat().st_size
        for weights in ("float32", "int8")
    ]
    assert sizes[1] < 0.7 * sizes[0]


def test_folder_that_is_there_is_left_alone(small, folder):
    before = sorted(folder.iterdir())
    with pytest.raises(ConfigError, match="there already"):
        zoo.export(small, "c", folder)
    assert sorted(folder.iterdir()) == before


def test_without_a_compiler_it_says_what_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "system_compiler", lambda: None)
    monkeypatch.setattr(build, "zig_compiler", lambda: None)
    with pytest.raises(PluginError, match="pip install ziglang"):
        zoo.export(small, "c", tmp_path / "flute")


def test_compiler_that_fails_is_told_with_what_it_says(small, tmp_path, monkeypatch):
    compiler = build.system_compiler() or build.zig_compiler()
    monkeypatch.setenv("CC", shlex.join([*compiler, "-Dzoo_player=int"]))
    with pytest.raises(PluginError, match=r"Set CC to another one .* -Dzoo_player=int .* failed:\n"):
        zoo.export(small, "c", tmp_path / "flute")
    assert list(tmp_path.iterdir()) == []
