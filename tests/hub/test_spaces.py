"""A page of instruments, sent to a static Space."""

import pytest
import yaml

from zoo.commands import cli, push
from zoo.errors import HubError
from zoo.export.web import write_site
from zoo.hub.client import HubClient
from zoo.hub.spaces import push_space


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_site(["gru-S-flute"], tmp_path_factory.mktemp("site") / "site")


def tree(hub):
    return {path: blob.data for path, blob in hub.commits("spaces/tester/band")[0].tree.items()}


def test_page_becomes_a_space_that_the_hub_serves_as_it_is(hub, site):
    client = HubClient(token=hub.token, endpoint=hub.endpoint)
    address = push_space(site, "tester/band", private=None, commit_message=None, client=client)
    assert address == f"{hub.endpoint}/spaces/tester/band"
    sent = tree(hub)
    for file in (file for file in site.rglob("*") if file.is_file()):
        assert sent[file.relative_to(site).as_posix()] == file.read_bytes()
    head = yaml.safe_load(sent["README.md"].decode().split("---")[1])
    assert (head["sdk"], head["title"]) == ("static", "gru-S-flute")
    assert len(head["short_description"]) <= 60


def test_command_makes_the_page_of_models_and_replaces_what_was_there(hub, site, capsys):
    words = ["--space", "tester/band", "--token", hub.token, "--endpoint", hub.endpoint, "--private"]
    assert cli.run(push.main, [str(site), *words]) == 0
    assert capsys.readouterr().out.strip().endswith("/spaces/tester/band")
    assert "instruments/gru-S-flute.zoo" in tree(hub)
    assert hub.repos["spaces/tester/band"].private
    assert cli.run(push.main, ["gru-S-trumpet", *words]) == 0
    sent = tree(hub)
    assert "instruments/gru-S-trumpet.zoo" in sent
    assert "instruments/gru-S-flute.zoo" not in sent


def test_what_cannot_be_a_space_is_refused(hub, site, capsys):
    client = HubClient(token=hub.token, endpoint=hub.endpoint)
    with pytest.raises(HubError, match="org/name"):
        push_space(site, "no space", private=None, commit_message=None, client=client)
    assert cli.run(push.main, [str(site), "--space", "tester/band", "--pull-request"]) == 2
    with pytest.raises(SystemExit):
        push.main([str(site)])
    assert "org/name" in capsys.readouterr().err
