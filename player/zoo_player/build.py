"""Builds the C library: for this machine by its own compiler, for any other one by the package `ziglang`.

Examples:
  python -m zoo_player.build --out build/                          # for this machine
  python -m zoo_player.build --target aarch64-linux --out build/   # for a Raspberry Pi
  python -m zoo_player.build --target wasm32 --out build/          # for browsers; one comes with the package

The folder then holds the library and zoo_player.h. For other targets than this machine, `pip install ziglang` first.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# Only the standard library, and nothing of this package: the build hook loads this file by its path.

FLAGS = ("-O3", "-std=gnu99", "-fno-strict-aliasing", "-fvisibility=hidden", "-DZOO_BUILDING")
"""No -march=native: a library is for every machine of its kind. No -ffast-math: NaN must be told from a number."""

_WASM = (
    # -Os gives 20 kB instead of 27 kB gzipped, and plays live with 2.0 % of a core instead of 1.4 %
    *("-msimd128", "-mbulk-memory", "-nostdlib", "-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--export-memory"),
    *("-Wl,--export=__heap_base", "-Wl,-z,stack-size=65536", "-Wl,--strip-all"),
)
_SHARED = ("-shared", "-fPIC", "-s")

TARGETS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "x86_64-linux": ("x86_64-linux-gnu.2.17", "libzoo_player.so", _SHARED),
    "aarch64-linux": ("aarch64-linux-gnu.2.17", "libzoo_player.so", _SHARED),
    "arm-linux": ("arm-linux-gnueabihf.2.17", "libzoo_player.so", ("-mcpu=generic+v7a+neon", *_SHARED)),
    "x86_64-windows": ("x86_64-windows-gnu", "zoo_player.dll", ("-shared", "-s")),
    "aarch64-macos": ("aarch64-macos", "libzoo_player.dylib", ("-shared", "-fPIC")),
    "x86_64-macos": ("x86_64-macos", "libzoo_player.dylib", ("-shared", "-fPIC")),
    "wasm32": ("wasm32-freestanding", "zoo_player.wasm", _WASM),
}
"""What each target is to zig, the library's file, and the flags that only it needs."""


class BuildError(RuntimeError):
    """There is no compiler, or it failed."""


def library_name() -> str:
    """The library's file on this machine."""
    return {"Windows": "zoo_player.dll", "Darwin": "libzoo_player.dylib"}.get(platform.system(), "libzoo_player.so")


def sources() -> Path:
    """The folder of the C sources: inside an installed package, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    return next(folder for folder in (here / "csrc", here.parent / "csrc") if folder.is_dir())


def web_library() -> Path:
    """The library for browsers. It comes with the package: nobody who makes a page needs a compiler.

    Raises:
        BuildError: It is not there.
    """
    library = Path(__file__).resolve().with_name(TARGETS["wasm32"][1])
    if not library.is_file():
        raise BuildError(
            f"{library} is missing: install ddsp-zoo-player anew, or: pip install ziglang && "
            f"python -m zoo_player.build --target wasm32 --out {library.parent}"
        )
    return library


def system_compiler() -> list[str] | None:
    """This machine's C compiler: $CC, or the first of cc, gcc and clang that works; None where there is none."""
    chosen = os.environ.get("CC")
    for command in [shlex.split(chosen)] if chosen else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]) and _works(command):
            return command
    return None


def zig_compiler() -> list[str] | None:
    """The compiler of the package `ziglang`; None where it is not installed."""
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def build_here(folder: Path) -> Path:
    """Build the library for this machine into a folder.

    Returns:
        The library.

    Raises:
        BuildError: If there is no compiler, or it failed.
    """
    library = folder / library_name()
    compiler = system_compiler()
    if compiler is not None:
        _compile([*compiler, *FLAGS, *(("-shared",) if os.name == "nt" else ("-shared", "-fPIC"))], library)
        return library
    if zig_compiler() is None:
        raise BuildError("no C compiler was found (CC, cc, gcc, clang): install one, or: pip install ziglang")
    machine = {"AMD64": "x86_64", "ARM64": "aarch64", "arm64": "aarch64", "armv7l": "arm"}.get(
        platform.machine(), platform.machine()
    )
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    if f"{machine}-{system}" in TARGETS:
        return build_for(f"{machine}-{system}", folder)
    _compile([*(zig_compiler() or ()), "-mcpu=baseline", "-fno-sanitize=undefined", *FLAGS, *_SHARED], library)
    return library


def build_for(target: str, folder: Path) -> Path:
    """Build the library for one of `TARGETS` into a folder, by `ziglang`.

    Returns:
        The library.

    Raises:
        BuildError: If `ziglang` is not installed, or failed.
    """
    compiler = zig_compiler()
    if compiler is None:
        raise BuildError(f"{target} is built by the package ziglang, which is not installed: pip install ziglang")
    triple, name, flags = TARGETS[target]
    command = [*compiler, "-target", triple, "-fno-sanitize=undefined", *FLAGS, *flags]
    _compile(command, folder / name)
    return folder / name


def compile_program(command: Sequence[str], files: Sequence[Path | str], output: Path) -> None:
    """Run a compiler on files, with zig's caches in a temporary folder where the environment names none.

    Without them an unset or read-only home folder breaks zig.

    Raises:
        BuildError: With what the compiler said, if it failed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zoo-player-zig-") as cache:
        # compiled beside its place and then moved there: a process that has the old one open keeps it
        made = Path(cache) / output.name
        done = subprocess.run(
            [*command, *map(str, files), "-o", str(made)],
            capture_output=True,
            text=True,
            check=False,
            env={"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **os.environ},
        )
        if done.returncode or not made.is_file():
            raise BuildError(f"{shlex.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
        beside = output.with_name(output.name + ".new")
        shutil.copyfile(made, beside)
        beside.chmod(0o755)
        beside.replace(output)


def _compile(command: Sequence[str], library: Path) -> None:
    compile_program(command, sorted(sources().glob("*.c")), library)


def _works(command: Sequence[str]) -> bool:
    """Whether a compiler compiles: macOS has a `cc` that only asks for one to be installed."""
    with tempfile.TemporaryDirectory(prefix="zoo-player-") as folder:
        source = Path(folder) / "try.c"
        source.write_text("#include <stdint.h>\ntypedef float v8 __attribute__((vector_size(32)));\nv8 v;\n")
        asked = [*command, "-std=gnu99", "-c", str(source), "-o", str(source.with_suffix(".o"))]
        try:
            return subprocess.run(asked, capture_output=True, check=False, cwd=folder).returncode == 0
        except OSError:
            return False


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m zoo_player.build`."""
    parser = argparse.ArgumentParser(
        prog="python -m zoo_player.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=sorted(TARGETS), help="the machine to build for; default: this one")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the library is put")
    chosen = parser.parse_args(arguments)
    try:
        library = build_for(chosen.target, chosen.out) if chosen.target else build_here(chosen.out)
        if library.resolve().parent != Path(__file__).resolve().parent:  # else it was built for this package itself
            shutil.copyfile(sources() / "zoo_player.h", chosen.out / "zoo_player.h")
    except (BuildError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{library}: {library.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
