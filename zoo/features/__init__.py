"""What a decoder is driven by: pitch and loudness, one value a frame."""

from zoo.features.audio import read_audio, write_wav
from zoo.features.frontend import Features, FeatureSettings, extract_features, scale_f0, scale_loudness
from zoo.features.loudness import loudness_db, rms_db
from zoo.features.pitch import track_pitch
from zoo.features.values import clean_f0, clean_loudness

__all__ = [
    "FeatureSettings",
    "Features",
    "clean_f0",
    "clean_loudness",
    "extract_features",
    "loudness_db",
    "read_audio",
    "rms_db",
    "scale_f0",
    "scale_loudness",
    "track_pitch",
    "write_wav",
]
