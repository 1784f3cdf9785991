"""What a decoder is driven by: pitch and loudness, one value per frame."""

from zoo.features.audio import read_audio, write_wav
from zoo.features.frontend import (
    Features,
    FeatureSettings,
    extract_features,
    measure_loudness,
    scale_f0,
    scale_loudness,
)
from zoo.features.loudness import a_weighted_level_db, loudness_db, rms_db, sound_level_db
from zoo.features.pitch import quick_options, track_pitch
from zoo.features.sound_files import rate_of
from zoo.features.values import clean_f0, clean_loudness

__all__ = [
    "FeatureSettings",
    "Features",
    "a_weighted_level_db",
    "clean_f0",
    "clean_loudness",
    "extract_features",
    "loudness_db",
    "measure_loudness",
    "quick_options",
    "rate_of",
    "read_audio",
    "rms_db",
    "scale_f0",
    "scale_loudness",
    "sound_level_db",
    "track_pitch",
    "write_wav",
]
