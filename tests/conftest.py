import os
import sys
import tempfile
from pathlib import Path

# A child process imports a test's module by its name, tests.storage.test_reading for one. The checkout comes last on
# the path: what is installed is found before what lies here.
sys.path.append(str(Path(__file__).parents[1]))

# Tests run in several processes. Threads of one that wait for work keep the cores from the others: one thread each.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_name, "1")
    # numba numbers the files of its cache: two processes that compile one function for different types at once write to
    # the same number, and who loads that later crashes. (librosa's pitch search, which keeps its cache beside itself.)
    _numba_cache = tempfile.TemporaryDirectory(prefix="numba-")
    os.environ["NUMBA_CACHE_DIR"] = _numba_cache.name

# The Hub's client reads its environment once, when it is imported: this comes before anything that could import it.
# A developer's own login, endpoint, cache and offline switch must not reach a test, nor must a test reach them.
for _name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_OFFLINE"))]:
    del os.environ[_name]
_hub_home = tempfile.TemporaryDirectory(prefix="hub-home-")
os.environ["HF_HOME"] = _hub_home.name
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
# Xet has servers of its own, which the stand-in Hub is not; without it, uploads take the LFS protocol.
os.environ["HF_HUB_DISABLE_XET"] = "1"
# The stand-in is on this machine: no proxy may come between.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

import pytest  # noqa: E402 (see above)
import torch  # noqa: E402
from building import CHECKOUT, MODELS, PLUGINS, build_wheels  # noqa: E402

from zoo.datasets import Preparation, open_dataset, prepare_dataset  # noqa: E402
from zoo.datasets.tones import tones  # noqa: E402
from zoo.features import FeatureSettings  # noqa: E402


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's own store."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path_factory.mktemp("zoo-home")))


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def small_tones(tmp_path_factory):
    """Phrases of a second and a half as segments of half a second: real data, quick to train on."""
    folder = tmp_path_factory.mktemp("data") / "tones"
    preparation = Preparation(segment_seconds=0.512, min_seconds=0.256, features=FeatureSettings(tracker="yin"))
    prepare_dataset(tones(phrases=10, seconds=1.5), folder, preparation, dataset="tones", name="tones")
    return open_dataset(folder)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Wheels of the checkout's packages, its plugins included, by the name that their files begin with."""
    return build_wheels(
        [CHECKOUT / "kernels", CHECKOUT / "player", MODELS, CHECKOUT, *PLUGINS], tmp_path_factory.mktemp("wheels")
    )
