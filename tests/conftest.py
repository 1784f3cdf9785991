import pytest
import torch


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own store."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("zoo-home")))


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)
