import pytest

from zoo import checkpoint
from zoo.datasets import Preparation, open_dataset, prepare_dataset
from zoo.datasets.tones import tones
from zoo.features import FeatureSettings
from zoo.model import create


@pytest.fixture(scope="session")
def small_tones(tmp_path_factory):
    """Phrases of a second and a half as segments of half a second: real data, quick to train on."""
    folder = tmp_path_factory.mktemp("data") / "tones"
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=10, seconds=1.5), folder, preparation, dataset="tones", name="tones")
    return open_dataset(folder)


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, small_tones):
    """A saved model with dropout and a longer reverb than its student's; its weights are random, which is enough."""
    folder = tmp_path_factory.mktemp("models") / "teacher"
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 400}
    checkpoint.save(create("tcn-S", instrument="tones", features=small_tones.features.to_dict(), **options), folder)
    return folder
