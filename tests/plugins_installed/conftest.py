import pytest
from building import build_wheels
from environments import Environment
from made_up import EVERY_ONE


@pytest.fixture(scope="session")
def made_up_wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made-up")
    projects = [made.write(folder / made.distribution) for made in EVERY_ONE]
    return build_wheels(projects, folder / "wheels")


@pytest.fixture(scope="session")
def environment(tmp_path_factory, wheels):
    """One for all tests, with zoo from its wheels; each test leaves it as it was."""
    made = Environment(tmp_path_factory.mktemp("environment"))
    made.install(wheels["ddsp_zoo"], wheels["ddsp_zoo_kernels"], wheels["ddsp_zoo_player"])
    return made


@pytest.fixture
def installed(environment, wheels, made_up_wheels):
    """Install distributions by their names; afterwards they are gone, if the test has not removed them itself."""
    there = []

    def install(*distributions):
        names = [name.replace("-", "_") for name in distributions]
        environment.install(*({**wheels, **made_up_wheels}[name] for name in names))
        there.extend(distributions)

    yield install
    if there:
        environment.uninstall(*there)
