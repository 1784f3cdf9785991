"""Write golden audio beside the weights of models that were saved without it.

    python benchmarks/write_golden.py model_cards/gru-S-flute runs/mine

Weights, config and card stay as they are. A model that is saved or trained today has its golden audio already.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.errors import ZooError
from zoo.models.loading import check_golden, load_folder
from zoo.storage.golden import write_golden


def main(argv: Sequence[str] | None = None) -> int:
    """Render, write, compare, and print a line per model."""
    parser = argparse.ArgumentParser(description="Write golden audio beside models' weights.")
    parser.add_argument("folders", nargs="+", type=Path, help="runs' folders, or shipped models'")
    options = parser.parse_args(argv)
    try:
        for folder in options.folders:
            path = write_golden(load_folder(folder), folder)
            size = "none: it makes no numbers" if path is None else f"{path.stat().st_size:,} bytes"
            print(f"{folder.name}: {size}; again: {check_golden(folder)}")
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
