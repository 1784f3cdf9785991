import pytest
from hub_server import HubServer


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
