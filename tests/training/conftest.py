import pytest
import torch

from zoo.datasets.data_range import range_of
from zoo.models.creating import create
from zoo.storage import checkpoint


@pytest.fixture(scope="session")
def teacher_folder(tmp_path_factory, small_tones):
    """A saved model with dropout and a longer reverb than its student's; its weights are random, which is enough."""
    folder = tmp_path_factory.mktemp("models") / "teacher"
    options = {"input_size": 8, "channels": 8, "output_size": 8, "blocks": 2, "reverb_length": 400}
    torch.manual_seed(0)  # the same one whatever ran before
    teacher = create("tcn-S", instrument="tones", features=small_tones.features.to_dict(), **options)
    teacher.set_range(range_of(small_tones.split("train"), frame_rate=250.0))
    checkpoint.save(teacher, folder)
    return folder
