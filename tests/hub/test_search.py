"""Finding models of zoo on the Hub."""

import pytest
from hub_faults import dead_endpoint
from hub_runs import make_run

import zoo
from zoo.__main__ import main
from zoo.errors import ConfigError, HubUnreachableError


@pytest.fixture
def several(hub, tmp_path):
    for number, (repo, options) in enumerate(
        {"org/gru-S-flute": {}, "org/gru-M-violin": {}, "other/gru-S-oboe": {}, "org/secret": {"private": True}}.items()
    ):
        run = make_run(tmp_path / str(number))
        zoo.push(run, repo, token=hub.token, endpoint=hub.endpoint, **options)
    hub.create("org/gru-bert", {"README.md": b"---\nlibrary_name: transformers\n---\n"})
    return hub


@pytest.mark.parametrize(
    ("pattern", "options", "expected"),
    [
        ("*", {}, ["org/gru-M-violin", "org/gru-S-flute", "other/gru-S-oboe"]),
        ("gru-S-*", {}, ["org/gru-S-flute", "other/gru-S-oboe"]),
        ("*", {"org": "other"}, ["other/gru-S-oboe"]),
        ("org/*", {}, ["org/gru-M-violin", "org/gru-S-flute"]),
        ("gru-?-violin", {}, ["org/gru-M-violin"]),
        ("tcn-*", {}, []),
    ],
)
def test_models_of_zoo_are_found_by_name(several, pattern, options, expected):
    assert zoo.list_models(pattern, hub=True, endpoint=several.endpoint, token=False, **options) == expected


def test_private_models_are_found_by_their_owner(several):
    assert "org/secret" in zoo.list_models(hub=True, endpoint=several.endpoint, token=several.token)


def test_search_goes_on_over_the_pages_of_a_listing(several):
    several.page_size = 1
    assert len(zoo.list_models(hub=True, endpoint=several.endpoint, token=False)) == 3


def test_command_lists_what_is_on_the_hub(several, capsys):
    assert main(["list", "gru-S-*", "--hub", "--endpoint", several.endpoint]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["model", "downloads", "changed"]
    assert [line[0] for line in lines[1:]] == ["org/gru-S-flute", "other/gru-S-oboe"]


def test_nothing_found_is_told(several, capsys):
    assert main(["list", "tcn-*", "--hub", "--org", "org", "--endpoint", several.endpoint]) == 2
    assert "The Hub has no model of zoo of org that is named like 'tcn-*'" in capsys.readouterr().err


def test_search_without_a_hub_is_told():
    with pytest.raises(HubUnreachableError, match="does not answer"):
        zoo.list_models(hub=True, endpoint=dead_endpoint())


def test_account_without_the_hub_is_a_mistake():
    with pytest.raises(ConfigError, match="say hub=True"):
        zoo.list_models(org="someone")
