"""The page in a real browser: its players play, its blind comparison runs, and it asks nobody for anything."""

import csv
import json
import math
import time

import pytest
import report_browser
from report_browser import start_browser
from zoo_report import make_report

pytestmark = pytest.mark.skipif(report_browser.MISSING is not None, reason=str(report_browser.MISSING))

READY = "[...document.querySelectorAll('audio')].every((audio) => audio.readyState >= 1)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with start_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """A browser that has been asked for nothing yet, and complains of nothing in the end."""
    chromium.get("about:blank")
    chromium.look()
    chromium.get_log("performance")
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


@pytest.fixture
def opened(browser, page_file):
    """The page, as one sees it for the first time."""
    browser.get(page_file.as_uri())
    browser.execute_script("try { localStorage.clear() } catch {}")
    browser.get(page_file.as_uri())
    browser.wait_for(READY)
    browser.click("h1")  # a page that nobody has touched may not play
    yield browser
    assert set(browser.requests()) == {page_file.as_uri()}


def test_players_know_how_long_they_are_and_play(opened):
    found = opened.execute_script(
        """
        const found = [];
        for (const audio of document.querySelectorAll("audio")) {
          await audio.play();
          await new Promise((done) => {
            const look = () => (audio.currentTime > 0 ? done() : setTimeout(look, 10));
            look();
          });
          audio.pause();
          found.push([audio.duration, Number(audio.closest(".sound").dataset.seconds)]);
        }
        return found;
        """
    )
    assert len(found) == 10
    for duration, seconds in found:
        assert duration == pytest.approx(seconds, abs=1e-3)
    place, duration = opened.execute_script(
        """
        const audio = document.getElementById("p0-2");
        await audio.play();
        await new Promise((done) => audio.addEventListener("ended", done));
        return [audio.currentTime, audio.duration];
        """
    )
    assert place == pytest.approx(duration, abs=0.01)


def test_one_player_plays_at_a_time_and_shows_where_it_is(opened):
    opened.execute_script("for (const audio of document.querySelectorAll('audio')) audio.loop = true")
    playing = "return [...document.querySelectorAll('audio')].map((audio) => !audio.paused)"
    opened.execute_script("await document.getElementById('p0-0').play()")
    opened.execute_script("await document.getElementById('p0-1').play()")
    opened.wait_for("document.getElementById('p0-0').paused")
    assert opened.execute_script(playing)[:2] == [False, True]
    # a click on a spectrogram plays from there
    opened.click("#p0-2 ~ .framed .inside")
    opened.wait_for("!document.getElementById('p0-2').paused && document.getElementById('p0-1').paused")
    left = opened.execute_script(
        "const figure = document.getElementById('p0-2').closest('.sound');"
        "return parseFloat(figure.querySelector('.playhead').style.left)"
    )
    assert left > 0


def begin(browser):
    browser.click("#blind-setup button")
    browser.wait_for("!document.getElementById('blind-trial').hidden")


def answer(browser, key):
    """Listen to all three and choose, with the keyboard alone."""
    for side, title in (("r", "the recording"), ("a", "sound A"), ("b", "sound B")):
        browser.press(side)
        browser.wait_for(f"document.getElementById('blind-status').textContent.startsWith('Playing {title}.')")
    browser.press(key)


def shown(browser, section):
    return browser.execute_script(f"return !document.getElementById('blind-{section}').hidden")


def rows(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#blind-rows tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )


def count(browser):
    return int(browser.execute_script("return document.getElementById('blind-count').textContent").split()[0])


def test_blind_comparison_runs_to_its_end_by_keyboard(opened, tmp_path):
    wanted = count(opened)
    assert wanted == 6  # two phrases with a teacher, a student alone and a distilled one; the third has one sound
    begin(opened)
    names = opened.execute_script("return JSON.parse(document.getElementById('report-data').textContent).models")
    for number in range(wanted):
        said = opened.execute_script("return document.getElementById('blind-trial').innerText")
        assert f"Comparison {number + 1} " in said
        assert not [name for name in names if name in said]
        assert opened.execute_script("return document.getElementById('choose-a').disabled")
        opened.press("1")  # before anything was heard: not an answer
        answer(opened, "120"[number % 3])
    opened.wait_for("!document.getElementById('blind-tally').hidden")
    assert not shown(opened, "trial")
    found = rows(opened)
    assert [row[0] for row in found] == [f"{a} \N{EN DASH} {b}" for i, a in enumerate(names) for b in names[i + 1 :]]
    assert sum(int(cell) for row in found for cell in row[1:4]) == wanted
    assert sum(int(row[3]) for row in found) == 2

    downloads = tmp_path / "downloads"
    downloads.mkdir()
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    opened.click("#blind-csv")
    until = time.monotonic() + 20
    while not (files := list(downloads.glob("zoo-report-*.csv"))) and time.monotonic() < until:
        time.sleep(0.05)
    with files[0].open(newline="") as file:
        answers = list(csv.DictReader(file))
    assert [line["choice"] for line in answers] == ["a", "b", "none", "a", "b", "none"]
    for line in answers:
        assert line["closer"] == {"a": line["a"], "b": line["b"], "none": ""}[line["choice"]]
        assert {line["a"], line["b"]} <= set(names)

    opened.click("#blind-clear")
    assert shown(opened, "setup")
    assert not shown(opened, "tally")


def test_answers_survive_loading_the_page_again(opened, page_file):
    begin(opened)
    answer(opened, "1")
    before = opened.execute_script("return document.getElementById('blind-progress').textContent")
    assert before.startswith("Comparison 2 ")
    opened.get(page_file.as_uri())
    opened.wait_for("!document.getElementById('blind-trial').hidden")
    assert opened.execute_script("return document.getElementById('blind-progress').textContent") == before
    opened.click("#blind-finish")
    assert sum(int(cell) for row in rows(opened) for cell in row[1:4]) == 1
    opened.click("#blind-more")
    assert opened.execute_script("return document.getElementById('blind-progress').textContent") == before
    assert "kept in this browser" in opened.execute_script("return document.getElementById('blind-kept').textContent")


def test_only_those_who_take_part_are_compared(opened):
    opened.click("#blind-setup label:first-of-type input")
    assert count(opened) == 2
    opened.click("#blind-setup label:nth-of-type(2) input")
    assert count(opened) == 0
    assert opened.execute_script("return document.querySelector('#blind-setup button').disabled")
    opened.click("#blind-setup label:first-of-type input")
    begin(opened)
    answer(opened, "2")
    opened.click("#blind-finish")
    assert len(rows(opened)) == 1


def test_answers_are_counted_and_their_chance_is_right(opened, page_file):
    key = opened.execute_script("return JSON.parse(document.getElementById('report-data').textContent).key")
    given = [{"phrase": 0, "a": 0, "b": 1, "choice": "a"}] * 7 + [{"phrase": 1, "a": 1, "b": 0, "choice": "a"}]
    given += [{"phrase": 1, "a": 1, "b": 0, "choice": "none"}]
    state = {"answers": given, "queue": [], "running": False, "models": [0, 1]}
    opened.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, json.dumps(state))
    opened.get(page_file.as_uri())
    ((_, first, second, none, chance),) = rows(opened)
    assert (first, second, none) == ("7", "1", "1")
    exact = 100 * 2 * (1 + 8) / 2**8
    assert float(chance.removesuffix(" %")) == pytest.approx(exact, rel=0.05)
    assert math.isclose(exact, 7.03, rel_tol=1e-3)


@pytest.mark.parametrize(
    "kept", ['{"answers": [{"phrase": 99}], "queue": [], "running": false, "models": []}', "null", "{", "[1]", '"x"']
)
def test_answers_that_make_no_sense_are_forgotten(opened, page_file, kept):
    key = opened.execute_script("return JSON.parse(document.getElementById('report-data').textContent).key")
    opened.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, kept)
    opened.get(page_file.as_uri())
    assert shown(opened, "setup")
    assert count(opened) == 6


def test_browser_that_keeps_nothing_still_compares(browser, page_file):
    forbidden = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": forbidden})
    try:
        browser.get(page_file.as_uri())
        begin(browser)
        answer(browser, "1")
        assert "keeps nothing" in browser.execute_script("return document.getElementById('blind-kept').textContent")
        assert browser.execute_script("return document.getElementById('blind-progress').textContent").startswith(
            "Comparison 2 "
        )
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 400])
def test_page_fits_its_window_and_can_be_read(opened, width, scheme):
    opened.look(width=width, scheme=scheme)
    begin(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    found = opened.execute_script(CONTRASTS)
    assert len(found) > 100
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


CONTRASTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = numbers(colour).map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if ((numbers(colour)[3] ?? 1) > 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || !element.checkVisibility() || element.closest("script, title, desc")) continue;
  const style = getComputedStyle(element);
  const own = light(element.closest("svg") ? style.fill : style.color);
  const [a, b] = [own, light(behind(element))].sort((x, y) => y - x);
  found.push([text, (a + 0.05) / (b + 0.05)]);
}
return found;
"""


def test_printed_page_shows_its_pictures_on_white(opened):
    opened.look(media="print", scheme="dark")
    assert opened.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.execute_script("return document.querySelector('.sound img').checkVisibility()")
    assert not opened.execute_script("return document.querySelector('audio').checkVisibility()")
    assert opened.execute_script(CONTRASTS)


def test_hostile_names_do_nothing(browser, hostile, tmp_path):
    page = make_report([str(hostile), "gru-M-tones"], out=tmp_path / "page").path
    browser.get(page.as_uri())
    browser.wait_for(READY)
    assert browser.execute_script("return window.hurt === undefined")
    assert browser.execute_script("return document.querySelector('h3').innerText") == hostile.name
    begin(browser)
    answer(browser, "1")
    browser.click("#blind-finish")
    assert hostile.name in rows(browser)[0][0]
    assert browser.execute_script("return window.hurt === undefined")
    assert set(browser.requests()) == {page.as_uri()}


def test_checks_of_requests_and_complaints_can_fail(chromium, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<img src='picture.png'><script>console.error('no')</script>")
    chromium.get_log("browser")
    chromium.get(page.as_uri())
    assert (tmp_path / "picture.png").as_uri() in chromium.requests()
    assert [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
