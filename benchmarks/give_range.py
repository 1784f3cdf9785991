"""Write into trained models which range their data had, without training them again.

    python benchmarks/give_range.py model_cards/gru-S-flute model_cards/gru-L-flute --data data/flute

The range is counted in what the models were trained on (or in the same recordings, prepared again), and goes into
config.json; weights and lineage stay. The card is written anew. A model that is trained today has its range already.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from zoo.cards import write_card
from zoo.datasets import open_dataset
from zoo.datasets.data_range import range_of
from zoo.errors import DatasetError, ZooError
from zoo.models.loading import load_folder
from zoo.storage.config import read_config
from zoo.storage.files import write_atomically
from zoo.storage.golden import write_golden
from zoo.storage.run_files import CONFIG


def main(argv: Sequence[str] | None = None) -> int:
    """Count, write, and print a line per model."""
    parser = argparse.ArgumentParser(description="Write the range of their data into trained models.")
    parser.add_argument("folders", nargs="+", type=Path, help="runs' folders, or shipped models'")
    parser.add_argument("--data", required=True, help="what they were trained on: a prepared dataset, or tones")
    parser.add_argument(
        "--splits", nargs="+", default=["train"], help="which of its splits (default: train); where it was divided anew"
    )
    options = parser.parse_args(argv)
    try:
        dataset = open_dataset(options.data)
        trained = range_of(
            *(dataset.split(split) for split in options.splits), frame_rate=dataset.sample_rate / dataset.hop
        )
        if trained is None:
            raise DatasetError(f"No frame of {dataset.path} has a pitch, so a model trained on it has no range.")
        for folder in options.folders:
            config = read_config(folder)
            same = dataset.hash == config.lineage.get("dataset", {}).get("hash")
            write_atomically(folder / CONFIG, config.with_changes(range=trained).to_json())
            write_golden(load_folder(folder), folder)  # a range keeps harmonics silent
            write_card(folder)
            highest = trained.harmonics_under(config.sample_rate / 2)
            print(
                f"{config.name}: {trained.in_words()}; lowest pitch {trained.lowest_f0_hz:g} Hz, {highest} harmonics "
                f"({'the data it was trained on' if same else 'prepared again: other bytes than it was trained on'})"
            )
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
