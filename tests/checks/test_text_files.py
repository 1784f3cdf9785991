"""Text files as people write them, on Windows too."""

import codecs
import json

import pytest

import zoo
from zoo.checks.text_files import read_text
from zoo.datasets.attribution import AttributionIndex
from zoo.errors import CheckpointError, ConfigError, HubError, ZooError
from zoo.gin_config.files import read_files, read_set
from zoo.listing import info
from zoo.storage.config import read_config
from zoo.training.checkpoints import read_history

GIN = "# a recipe\nINSTRUMENT = 'flute'\n\ntrain.model = 'gru-S'\n"
MARK = codecs.BOM_UTF8
AS_WRITTEN = {"mark": MARK + GIN.encode(), "windows": GIN.replace("\n", "\r\n").encode(), "old mac": b"A = 1\rB = 2\r"}


@pytest.mark.parametrize("how", AS_WRITTEN)
def test_gin_file_of_any_editor_is_read(how, tmp_path):
    (tmp_path / "my.gin").write_bytes(AS_WRITTEN[how])
    values = {binding.key: binding.value for binding in read_files([str(tmp_path / "my.gin")])}
    assert values == ({"A": 1, "B": 2} if how == "old mac" else {"INSTRUMENT": "flute", "train.model": "gru-S"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_says_how_it_becomes_utf8(encoding, tmp_path):
    (tmp_path / "my.gin").write_text(GIN, encoding=encoding)
    with pytest.raises(
        ConfigError, match=r"my\.gin is not a text file in UTF-8 but in UTF-16.*Save as, Encoding: UTF-8"
    ):
        list(read_files([str(tmp_path / "my.gin")]))


def test_other_encoding_is_told_with_its_line(tmp_path):
    path = tmp_path / "my.gin"
    path.write_bytes(MARK + "A = 1\nB = 'Flöte'\n".encode("latin-1").replace(MARK, b""))
    with pytest.raises(
        HubError, match=r"my\.gin is not a text file in UTF-8: line 2 has the byte 0xf6.*Save it as UTF-8"
    ):
        read_text(path, error=HubError)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("INSTRUMENT = flute", r"line 2: text stands in quotes: INSTRUMENT = 'flute'"),
        ("INSTRUMENT = electric guitar  # mine", r"line 2: text stands in quotes: INSTRUMENT = 'electric guitar'"),
        ("DATASET = data/violin", r"line 2: text stands in quotes: DATASET = 'data/violin'"),
        ("INSTRUMENT = \u2018flute\u2019", r"line 2: quotes are straight ones: INSTRUMENT = 'flute'"),
        ("INSTRUMENT = \u201cflute\u201d", r"line 2: quotes are straight ones: INSTRUMENT = 'flute'"),
        ("train.evaluate = false", r"line 2: 'false': type False"),
    ],
)
def test_text_without_quotes_is_told_as_set_tells_it(line, message, tmp_path):
    (tmp_path / "my.gin").write_text(f"STEPS = 1\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        list(read_files([str(tmp_path / "my.gin")]))


def test_what_is_typed_keeps_its_own_message():
    with pytest.raises(ConfigError, match=r"Text stands in quotes: --set \"INSTRUMENT='...'\""):
        read_set("INSTRUMENT=electric guitar")


def test_json_and_csv_of_a_run_are_read_with_a_mark_and_refused_as_utf16(tmp_path):
    folder = zoo.save(zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=100), tmp_path / "run")
    metrics = json.dumps({"student": {"log_mel_distance": {"mean": 1.0, "std": 0.5, "n": 2}}})
    (folder / "metrics.json").write_bytes(MARK + metrics.encode())
    (folder / "history.csv").write_bytes(MARK + b"step,val_loss\r\n0,3.5\r\n")
    config = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(MARK + config.replace(b"\n", b"\r\n"))
    assert info(folder).metrics["student"]["log_mel_distance"]["n"] == 2
    assert read_history(folder / "history.csv") == [{"step": 0.0, "val_loss": 3.5}]
    assert zoo.load(folder).name == "gru-S-flute"
    for name, read in (
        ("metrics.json", lambda: info(folder)),
        ("history.csv", lambda: read_history(folder / "history.csv")),
        ("config.json", lambda: read_config(folder)),
    ):
        (folder / name).write_text(metrics, encoding="utf-16")
        with pytest.raises(CheckpointError, match=rf"{name} is not a text file in UTF-8 but in UTF-16"):
            read()


def test_card_with_a_mark_keeps_its_licence(tmp_path):
    from zoo.cards import write_card

    folder = zoo.save(zoo.create("gru-S", hidden_size=8, reverb_length=100), tmp_path / "run")
    card = write_card(folder, licence="cc0-1.0")
    card.write_bytes(MARK + card.read_bytes().replace(b"\n", b"\r\n"))
    assert "license: cc0-1.0" in write_card(folder).read_text()
    card.write_bytes(b"---\nlicense: mit\n---\nFl\xf6te")
    with pytest.raises(ZooError, match=r"README\.md is not a text file in UTF-8: line 4"):
        write_card(folder)


INDEX = "path\tauthor \tlicence\na/x.wav\t Jané Doe\tCC0\nb\\y.wav\tJohn Roe\tCC BY 4.0\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_index_of_authors_is_read_as_a_spreadsheet_writes_it(encoding, tmp_path):
    (tmp_path / "INDEX.tsv").write_bytes(INDEX.replace("\n", "\r\n").encode(encoding))
    index = AttributionIndex(tmp_path)
    assert index.look_up(tmp_path / "a" / "x.wav")[0] == {"author": "Jané Doe", "licence": "CC0"}
    assert index.look_up(tmp_path / "b" / "y.wav")[0]["author"] == "John Roe"


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_index_that_cannot_be_read_is_told_and_not_left_out_in_silence(encoding, tmp_path, caplog):
    (tmp_path / "INDEX.tsv").write_bytes(INDEX.encode(encoding))
    assert AttributionIndex(tmp_path).look_up(tmp_path / "a" / "x.wav") == ({}, None)
    assert "INDEX.tsv" in caplog.text
    assert "Save it as UTF-8" in caplog.text
