import pytest

from zoo.errors import ModelNotFoundError
from zoo.models import naming


@pytest.mark.parametrize(
    ("text", "name", "repo_id", "revision"),
    [
        ("gru-L-flute", "gru-L-flute", None, None),
        ("my_violin.2", "my_violin.2", None, None),
        ("org/name", None, "org/name", None),
        ("org/name@v1", None, "org/name", "v1"),
        ("org/name@refs/pr/3", None, "org/name", "refs/pr/3"),
        ("hf-hub:org/name@v1", None, "org/name", "v1"),
        ("hf://org/name", None, "org/name", None),
    ],
)
def test_reference_is_parsed_by_its_text(text, name, repo_id, revision):
    parsed = naming.parse(text)
    assert (parsed.name, parsed.repo_id, parsed.revision, parsed.folder) == (name, repo_id, revision, None)


@pytest.mark.parametrize(
    "text", ["", "../up", "a/b/c", "/no/such/folder", "org/", "@v1", "org/name@", "hf://name", "a b"]
)
def test_reference_that_is_nothing_says_what_it_could_be(text):
    with pytest.raises(ModelNotFoundError):
        naming.parse(text)


def test_existing_folder_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gru-L-flute").mkdir()
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert naming.parse("gru-L-flute").folder is not None
    assert naming.parse("org/name").folder is not None
    assert naming.parse("hf://org/name").repo_id == "org/name"


def test_local_dir_prefix_means_a_folder_only(tmp_path):
    assert naming.parse(f"local-dir:{tmp_path}").folder == tmp_path
    with pytest.raises(ModelNotFoundError, match="no folder"):
        naming.parse("local-dir:gru-S")


def test_file_in_place_of_a_folder_is_explained(tmp_path):
    file = tmp_path / "flute.ckpt"
    file.touch()
    with pytest.raises(ModelNotFoundError, match="import-thesis"):
        naming.parse(file)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gru-L", ("gru-L", None)),
        ("gru-L-flute", ("gru-L", "flute")),
        ("tcn-S-bass_clarinet", ("tcn-S", "bass_clarinet")),
    ],
)
def test_name_is_split_into_architecture_and_instrument(name, expected):
    assert naming.parse_name(name) == expected


@pytest.mark.parametrize(
    ("name", "near"), [("gru-s", "gru-S"), ("gru-X-flute", "gru-"), ("rgu-L", "gru-L"), ("tcn-S-", "tcn-S")]
)
def test_unknown_name_gives_near_matches_and_never_another_model(name, near):
    with pytest.raises(ModelNotFoundError, match=f"Did you mean .*{near}"):
        naming.parse_name(name)
