import sys
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).parents[1] / "player"))

try:
    import zoo.streaming.instrument  # noqa: F401
except ImportError:
    from programs import file_of

    seam = ModuleType("zoo.streaming.instrument")
    seam.instrument_file = lambda model, *, weights="float32": file_of(model, weights=weights)
    sys.modules[seam.__name__] = seam
