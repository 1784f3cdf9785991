from pathlib import Path

import pytest
from safetensors.torch import load_file


@pytest.fixture(scope="session")
def reference():
    return load_file(Path(__file__).parents[1] / "data" / "features-reference.safetensors")
