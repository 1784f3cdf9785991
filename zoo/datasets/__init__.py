"""Recordings, and the datasets that are made of them."""

from zoo.datasets.preparation.analysis import Preparation
from zoo.datasets.preparation.outcome import Outcome, Skipped
from zoo.datasets.preparation.preparing import prepare_dataset
from zoo.datasets.preparation.recipe import FeatureConfig, PrepareConfig, SegmentConfig, prepare
from zoo.datasets.recordings import FileRecording, Recording
from zoo.datasets.segments import Dataset, Segments, open_dataset

__all__ = [
    "Dataset",
    "FeatureConfig",
    "FileRecording",
    "Outcome",
    "Preparation",
    "PrepareConfig",
    "Recording",
    "SegmentConfig",
    "Segments",
    "Skipped",
    "open_dataset",
    "prepare",
    "prepare_dataset",
]
