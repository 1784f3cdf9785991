"""Text from outside reaches a terminal and a page as text: it moves, hides, reorders and marks up nothing."""

import io
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard

import zoo
from zoo.__main__ import main
from zoo.cards import write_card
from zoo.cards.markdown import inline
from zoo.checks.plain_text import PlainStream, one_line, plain, write_controls
from zoo.commands import cli
from zoo.commands.cli import write_table
from zoo.commands.gin_program import _Lines
from zoo.errors import ConfigError

BAD = ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "a\rb", "\x08", "\u202egnp.exe", "\u2066x", "\u200bx", "\ufeffx"]
BAD += ["\udcf6", "\u2028", "\U000e0041", "\x7f", "\x00"]
GOOD = ["Flöte", "弦楽器", "Тест", "👩\u200d🎤 🎻", "نی\u200cلبک", "± µ Ω", "two\nlines\tand a tab", "e\u0301"]


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_what_acts_on_a_terminal_is_escaped_as_json_writes_it(text):
    shown = plain(text)
    assert json.loads(f'"{shown}"') == text
    assert all(character.isprintable() for character in shown)
    assert plain(shown) == shown


@pytest.mark.parametrize("text", GOOD)
def test_text_that_people_write_stays_as_it_is(text):
    assert plain(text) == text


def test_line_of_a_table_is_one_line(capsys):
    assert one_line("a\r\nb\tc", most=100) == "a\\r\\nb\\tc"
    assert one_line("x" * 50, most=10) == "xxxxxxx..."
    write_table([("name", "status"), ("a\nevil  shipped", "folder")])
    assert len(capsys.readouterr().out.splitlines()) == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_draws_itself_on_a_terminal_and_a_name_in_it_does_not():
    from tqdm import tqdm

    screen = Terminal()
    with tqdm(total=2, file=PlainStream(screen), desc="a\x1b[31m.wav", ncols=80) as bar:
        bar.update(1)
    assert "\r" in screen.getvalue()
    assert "\x1b" not in screen.getvalue()
    assert "a\\u001b[31m.wav" in screen.getvalue()
    write_controls(PlainStream(screen), "\x1b[2A")
    assert screen.getvalue().endswith("\x1b[2A")
    file = io.StringIO()
    PlainStream(file).write("\rforged")
    assert file.getvalue() == "\\rforged"


@pytest.mark.parametrize("text", BAD, ids=ascii)
def test_commands_errors_logs_and_output_are_plain(text, capsys):
    def body(_):
        sys.stdout.write(f"out {text}\n")
        sys.stdout.writelines(["written ", f"{text}\n"])
        _Lines().handle(logging.makeLogRecord({"msg": "logged %s", "args": (text,), "levelno": logging.INFO}))
        raise ConfigError(f"error {text}")

    before = sys.stdout, sys.stderr
    assert cli.run(body, []) == 2
    assert (sys.stdout, sys.stderr) == before
    captured = capsys.readouterr()
    for said in (captured.out, captured.err):
        assert said.count(plain(text)) >= 2
        assert all(character.isprintable() or character == "\n" for character in said)


def test_traceback_of_what_nobody_expected_is_plain_too():
    code = (
        "from zoo.commands import cli\n"
        "def body(_): raise RuntimeError('plugin \\x1b[2J \\u202e broke')\n"
        "raise SystemExit(cli.run(body, []))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: plugin \\u001b[2J \\u202e broke" in done.stderr
    assert "\x1b" not in done.stderr


@pytest.fixture
def run(tmp_path):
    model = zoo.create("gru-S", instrument="flute", hidden_size=8, reverb_length=100)
    return zoo.save(model, tmp_path / "run")


def with_lineage(run, lineage):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "lineage": lineage}))
    return run


def test_info_of_a_strangers_model_is_what_it_says(run, capsys):
    with_lineage(run, {"imported_from": "\u202ekpc.x\nname  gru-L-flute"})
    assert main(["info", str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("name")] == ["name                    gru-S-flute"]
    assert "\\u202ekpc.x\\nname  gru-L-flute" in "".join(lines)
    assert main(["info", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lineage"]["imported_from"].startswith("\u202e")


def test_recipe_of_a_stranger_writes_nothing_on_the_terminal(run, capsys):
    (run / "config.gin").write_text("train.modle = '\x1b]0;x\x07'\nimport e\x1b[31mvil\n")
    assert main(["reproduce", str(run), "--data", "tones"]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "config.gin, line 2" in said


def test_error_text_of_a_hub_is_one_plain_line():
    from huggingface_hub.errors import HfHubHTTPError

    from zoo.hub.client import HubClient, translated

    response = SimpleNamespace(status_code=500, headers={}, request=None)
    error = HfHubHTTPError("\x1b[31mred\nerror: all is well", response=response, server_message="\x1b[2J\nfake " * 300)
    with pytest.raises(OSError, match="is in trouble") as caught, translated("org/x", None, HubClient()):
        raise error
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


EVIL = (
    "<script>alert(1)</script>\n# Heading\n[x](javascript:alert(1)) | `a` ![y](http://z) --- <!-- end of your notes -->"
)


def test_card_shows_what_strangers_say_as_text(run):
    teacher = {"id": "org/x", "name": EVIL, "weights": "0" * 64, "lineage": {"dataset": {"attribution": [EVIL]}}}
    teacher["lineage"]["teacher"] = {"name": EVIL, "id": EVIL}
    data = {"name": EVIL, "attribution": [EVIL, "# Jané Doe, CC BY 4.0, http://x.org/a_b"], EVIL: EVIL}
    with_lineage(run, {"dataset": data, "teacher": teacher, "imported_from": EVIL, "start": {"name": EVIL}, EVIL: EVIL})
    metrics = {"student": {EVIL: {"mean": 1.0, "std": 0.0, "n": 1}}}
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "samples").mkdir()
    (run / "samples" / '"><script>x.wav').write_bytes(b"")
    (run / "samples" / "phrase1_Flöte.wav").write_bytes(b"")
    card = write_card(run, licence="x`</code><script>y")
    body = ModelCard(card.read_text()).text
    outside = "\n".join(part for i, part in enumerate(body.split("`")) if i % 2 == 0)
    assert "<script" not in outside
    assert "](javascript" not in body.replace("\\](", "")
    headings = [line for line in body.splitlines() if line.startswith("#")]
    assert headings == [f"# {headings[0][2:]}", *[f"## {h}" for h in
                        ("Use", "Measured", "Listen", "Size and speed", "Lineage", "Licence")]]  # fmt: skip
    assert "- \\# Jané Doe, CC BY 4.0, http://x.org/a_b" in body
    assert 'src="samples/phrase1_Fl%C3%B6te.wav"' in body
    assert body.count("<!-- end of your notes -->") == 1
    assert write_card(run).read_text() == card.read_text()


@pytest.mark.parametrize(
    "text",
    ["batch_size 16", "validation_loss 5.47", "Jané & Co, CC BY 4.0", "6>5>4, 3>1", "[1, 2]", "a-b", "3 dB", "#1"],
)
def test_plain_words_stand_in_a_card_as_they_are(text):
    assert inline(text) == text


def test_notes_of_a_person_stay_whatever_they_hold(run):
    card = write_card(run)
    notes = "Played by *Jané* 🎻\n\n<b>loud</b>"
    card.write_text(card.read_text().replace("<!-- end of", f"{notes}\n<!-- end of"))
    assert notes in write_card(run).read_text()
