"""The compiled library, as `csrc/zoo_player.h` declares it."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

__all__ = ["Info", "PlayerError", "check", "library"]


class PlayerError(ValueError):
    """An instrument file that cannot be played, or a call that does not fit it.

    Attributes:
        code: The library's number for it (`ZOO_ERROR_...` in zoo_player.h); 0 where Python found it.
    """

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Info(ctypes.Structure):
    """`zoo_info`."""

    _fields_ = [
        ("sample_rate", ctypes.c_uint32),
        ("hop", ctypes.c_uint32),
        ("latency", ctypes.c_uint32),
        ("inputs", ctypes.c_uint32),
        ("weights", ctypes.c_uint32),
        ("text", ctypes.c_void_p),
        ("text_bytes", ctypes.c_size_t),
    ]


@functools.cache
def library(path: Path | None = None) -> ctypes.CDLL:
    """The library beside this file, or another build of it.

    Raises:
        PlayerError: If it is not there, cannot be loaded, or is of another version.
    """
    from zoo_player.build import library_name  # not at import: `python -m zoo_player.build` would be told of it

    file = path or Path(__file__).with_name(library_name())
    try:
        loaded = ctypes.CDLL(str(file))
    except OSError as error:
        raise PlayerError(
            f"the compiled library cannot be loaded ({error}): install ddsp-zoo-player anew, "
            f"or: python -m zoo_player.build --out {file.parent}"
        ) from error
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    declared = {
        "zoo_check": (ctypes.c_int, [pointer, size, ctypes.POINTER(Info)]),
        "zoo_error_text": (ctypes.c_char_p, [ctypes.c_int]),
        "zoo_player_bytes": (size, [pointer, size, ctypes.c_uint32]),
        "zoo_player_init": (
            pointer,
            [pointer, size, pointer, size, ctypes.c_uint32, ctypes.c_uint64, ctypes.POINTER(ctypes.c_int)],
        ),
        "zoo_player_reset": (None, [pointer]),
        "zoo_player_process": (ctypes.c_int, [pointer, pointer, pointer, size, pointer]),
        "zoo_player_process_levels": (ctypes.c_int, [pointer, pointer, pointer, pointer, size, pointer]),
        "zoo_player_finish": (ctypes.c_int, [pointer, pointer]),
        "zoo_player_voices": (ctypes.c_uint32, [pointer]),
        "zoo_features_bytes": (size, [pointer]),
        "zoo_features_init": (pointer, [pointer, size, pointer]),
        "zoo_features_latency": (None, [pointer, pointer, pointer, pointer]),
        "zoo_features_process": (ctypes.c_int, [pointer, pointer, size, pointer, pointer, pointer]),
        "zoo_live_usual": (ctypes.c_int, [pointer, size, ctypes.c_uint32, pointer]),
        "zoo_live_bytes": (size, [pointer, size, pointer]),
        "zoo_live_init": (pointer, [pointer, size, pointer, size, pointer, ctypes.POINTER(ctypes.c_int)]),
        "zoo_live_reset": (None, [pointer]),
        "zoo_live_process": (ctypes.c_int, [pointer, pointer, size, pointer]),
        "zoo_live_set": (ctypes.c_int, [pointer, ctypes.c_uint32, ctypes.c_float]),
        "zoo_live_drive": (ctypes.c_int, [pointer, ctypes.c_float, ctypes.c_float]),
        "zoo_live_get": (ctypes.c_float, [pointer, ctypes.c_uint32]),
        "zoo_live_latency": (None, [pointer, pointer]),
        "zoo_live_read": (None, [pointer, pointer]),
    }
    for name, (result, arguments) in declared.items():
        try:
            function = getattr(loaded, name)
        except AttributeError:  # a checkout that was updated: git does not bring the library
            raise PlayerError(
                f"the compiled library {file} is older than this package, it lacks {name}: "
                f"python -m zoo_player.build --out {file.parent}"
            ) from None
        function.restype, function.argtypes = result, arguments
    return loaded


def check(code: int, subject: str) -> None:
    """Raise what an error code of the library means; 0 means none."""
    if code:
        raise PlayerError(f"{subject}: {library().zoo_error_text(code).decode()}", code=code)
