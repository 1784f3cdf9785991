import sys
from pathlib import Path

import pytest
from zoo_player import build

PLAYER = Path(__file__).parents[2] / "player"


@pytest.fixture(scope="session")
def compiler():
    """This machine's compiler, or zig."""
    return build.system_compiler() or build.zig_compiler()


@pytest.fixture(scope="session")
def compile_c(compiler, tmp_path_factory):
    """Compile C files together with the library, into a program or a library."""

    def compiled(name, *files, flags=(), libraries=()):
        output = tmp_path_factory.mktemp("c") / name
        sources = [*sorted((PLAYER / "csrc").glob("*.c")), *files, *libraries]
        command = [*compiler, "-O2", "-std=gnu99", "-fno-strict-aliasing", "-I", str(PLAYER / "csrc")]
        build.compile_program([*command, *flags], sources, output)
        return output

    return compiled


@pytest.fixture
def small_files(tmp_path):
    """An instrument file of each kind."""
    from programs import SMALL, small_file

    for kind in SMALL:
        (tmp_path / f"{kind}.zoo").write_bytes(small_file(kind))
    return {kind: tmp_path / f"{kind}.zoo" for kind in SMALL}


sys.path.insert(0, str(Path(__file__).parent))
