import os
import subprocess
import sys

import pytest
from hub_runs import make_run
from hub_server import HubServer
from huggingface_hub import HfApi


@pytest.fixture
def hub():
    """A stand-in Hub of this test's own; an error inside it fails the test, whatever the client made of it."""
    with HubServer() as server:
        yield server
    assert not server.crashes, "\n".join(server.crashes)


@pytest.fixture
def empty_cache(tmp_path):
    """An empty cache folder of the client's."""
    return tmp_path / "hub-cache"


@pytest.fixture
def run(tmp_path):
    """See `make_run`."""
    return make_run(tmp_path / "runs" / "flute")


@pytest.fixture
def other_machine(tmp_path):
    """Run Python or zoo's commands as on a machine with nothing of this one's: its own cache, store and home."""

    def call(*words, hub=None, check=True, place="other", **environment):
        home = tmp_path / place
        home.mkdir(exist_ok=True)
        settings = {"HOME": str(home), "HF_HOME": str(home / "hf"), "ZOO_HOME": str(home / "zoo"), **environment}
        if hub is not None:
            settings |= {"HF_ENDPOINT": hub.endpoint}
        return subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **settings},
            cwd=home,
            capture_output=True,
            text=True,
            check=check,
            timeout=300,
        )

    return call


@pytest.fixture
def api(hub):
    return HfApi(hub.endpoint, token=hub.token)


@pytest.fixture
def stranger(hub):
    return HfApi(hub.endpoint, token=hub.add_user("stranger"))


@pytest.fixture
def nobody(hub):
    return HfApi(hub.endpoint, token=False)
