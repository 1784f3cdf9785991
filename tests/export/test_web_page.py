"""The page in a real browser, with a microphone that plays a file."""

import functools
import json
import re
import threading
import time
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import soundfile
import zoo_player
from building import CHECKOUT
from report_browser import MISSING, start_browser
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from zoo.commands.web import _Handler
from zoo.export.web import write_site

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
RATE = 48000
STRANGE_HOST = "page.example"
# of the page: how it answers
NOW = "window.zoo?.page.report"


def tone(hz, seconds):
    t = np.arange(round(seconds * RATE)) / RATE
    return (0.15 * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return write_site(["gru-S-violin", "gru-S-flute"], tmp_path_factory.mktemp("web") / "site")


@pytest.fixture(scope="module")
def server(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chromium")
    soundfile.write(folder / "voice.wav", tone(330.0, 10), RATE)
    flags = (
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'voice.wav'}",
        f"--host-resolver-rules=MAP {STRANGE_HOST} 127.0.0.1",
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    )
    with start_browser(folder, *flags) as browser:
        yield browser


@pytest.fixture
def page(chromium, server):
    """The page, just opened; afterwards nothing was complained of, and nobody else was asked for anything."""
    chromium.get("about:blank")
    chromium.look()
    chromium.get_log("performance")
    chromium.get_log("browser")
    address = f"http://127.0.0.1:{server}/"
    chromium.get(address)
    chromium.wait_for("document.documentElement.dataset.ready")
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    assert [url for url in chromium.requests() if not url.startswith(address)] == []


def allow_microphone(page, server, setting):
    origin = f"http://127.0.0.1:{server}"
    page.execute_cdp_cmd(
        "Browser.setPermission", {"permission": {"name": "microphone"}, "setting": setting, "origin": origin}
    )


def said(page):
    return page.find_element(By.ID, "trouble").text


def cents(a, b):
    return 1200 * np.log2(a / b)


def test_listen_sounds_within_two_seconds_of_opening(page, server):
    page.get("about:blank")
    began = time.monotonic()
    page.get(f"http://127.0.0.1:{server}/")
    page.wait_for("document.documentElement.dataset.ready")
    page.click("#melody")
    page.wait_for(f"({NOW}?.outputPeak ?? 0) > 0.01")
    assert time.monotonic() - began < 6  # 2 s on a machine that does nothing else: see docs/results/web.md
    page.click("#melody")
    page.wait_for(f"!{NOW}.melody")


def test_microphone_is_followed_and_instruments_are_switched_while_it_plays(page, server):
    allow_microphone(page, server, "granted")
    page.click("#microphone")
    page.wait_for(f"({NOW}?.hz ?? 0) > 100 && {NOW}.outputPeak > 0.005")
    for name in ("gru-S-flute", "gru-S-violin"):
        page.execute_script(f"document.querySelector('input[value={name}]').click()")
        page.wait_for(f"{NOW}.name === '{name}' && {NOW}.hz > 100 && {NOW}.outputPeak > 0.005")
        assert page.execute_script("return location.hash") == f"#{name}"
        assert name in page.find_element(By.ID, "card").text
        heard, played = page.execute_script(f"return [{NOW}.inputHz, {NOW}.hz]")
        assert abs(cents(heard, 330)) < 10
        assert abs(cents(played, heard) - 1200 * round(cents(played, heard) / 1200)) < 20
    assert page.find_element(By.ID, "note").text.startswith("E")
    page.click("#microphone")
    page.wait_for(f"{NOW}.inputPeak === 0")


def test_short_first_note_ends(page):
    ActionChains(page).key_down("h").key_up("h").perform()  # before the audio has begun
    page.wait_for(f"{NOW} && !{NOW}.byHand && {NOW}.frame > 24000")


def test_keys_of_the_computer_and_of_the_page_play(page):
    keys = ActionChains(page)
    keys.key_down("h").perform()
    page.wait_for(f"{NOW}?.note === 69 && {NOW}.outputPeak > 0.01")
    keys.key_up("h").perform()
    page.wait_for(f"!{NOW}.byHand")
    keyboard = page.find_element(By.ID, "keyboard")
    page.execute_script("document.getElementById('keyboard').focus()")
    keyboard.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    keys.key_down(Keys.SPACE).perform()
    page.wait_for(f"{NOW}.note === 62")
    keys.key_up(Keys.SPACE).perform()
    page.wait_for(f"!{NOW}.byHand")


def test_recording_is_rendered_in_the_page_and_what_is_played_is_recorded(page, tmp_path):
    soundfile.write(tmp_path / "song.wav", tone(440.0, 1.5), RATE)
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "song.wav"))
    page.wait_for("document.querySelector('#results a')")
    samples = page.execute_async_script(WAV)
    assert 1.5 * RATE < len(samples) < 2.6 * RATE
    assert np.abs(samples).max() > 0.01
    page.click("#record")
    page.click("#melody")
    page.wait_for(f"{NOW}.outputPeak > 0.02")
    time.sleep(0.3)
    page.click("#record")
    page.wait_for("document.querySelectorAll('#results a').length === 2")
    assert np.abs(page.execute_async_script(WAV)).max() > 0.02


def test_gate_holds_for_a_recording_too(page, tmp_path):
    soundfile.write(tmp_path / "hum.wav", 0.03 * tone(440.0, 1.0), RATE)
    peaks = []
    for gate in (-65, -20):
        slide = f"const gate = document.getElementById('knob-gate'); gate.value = {gate};"
        page.execute_script(slide + "gate.dispatchEvent(new Event('input'))")
        page.find_element(By.ID, "file").send_keys(str(tmp_path / "hum.wav"))
        page.wait_for(f"document.querySelectorAll('#results a').length === {len(peaks) + 1}")
        peaks.append(np.abs(page.execute_async_script(WAV)).max())
    assert peaks[0] > 0.01
    assert peaks[1] < 1e-3


# the newest wav of the page, as samples
WAV = """
const done = arguments[0];
fetch(document.querySelector('#results a').href).then((answer) => answer.arrayBuffer()).then((bytes) => {
  const view = new DataView(bytes), samples = [];
  for (let at = 44; at + 3 <= bytes.byteLength; at += 3)
    samples.push((((view.getInt8(at + 2) << 8) | view.getUint8(at + 1)) << 8 | view.getUint8(at)) / 8388608);
  done(samples);
});
"""


def test_files_that_are_nothing_are_told(page, tmp_path, site):
    (tmp_path / "broken.zoo").write_bytes((site / "instruments/gru-S-violin.zoo").read_bytes()[:5000])
    (tmp_path / "text.wav").write_text("no sound")
    for name, words in (("broken.zoo", "no instrument that this page can play"), ("text.wav", "cannot be read")):
        page.find_element(By.ID, "file").send_keys(str(tmp_path / name))
        page.wait_for(f"document.getElementById('trouble').textContent.includes('{name}')")
        assert words in said(page)
    (tmp_path / "mine.zoo").write_bytes((site / "instruments/gru-S-flute.zoo").read_bytes())
    page.find_element(By.ID, "file").send_keys(str(tmp_path / "mine.zoo"))
    page.wait_for("document.getElementById('card').textContent.includes('file of yours')")
    assert said(page) == ""


def test_refused_microphone_is_told(page, server):
    allow_microphone(page, server, "denied")
    page.click("#microphone")
    page.wait_for("!document.getElementById('trouble').hidden")
    assert "refused the microphone" in said(page)
    assert page.find_element(By.ID, "microphone").get_attribute("aria-pressed") == "false"


def test_places_where_a_page_cannot_play_are_told(chromium, server, site):
    chromium.get((site / "index.html").as_uri())
    assert "zoo web" in said(chromium)
    chromium.get(f"http://{STRANGE_HOST}:{server}/")
    assert "https" in said(chromium)
    chromium.get("about:blank")
    chromium.get_log("browser")


@pytest.mark.parametrize("lack", ["delete window.AudioWorkletNode", "WebAssembly.validate = () => false"])
def test_old_browser_is_told(chromium, server, lack):
    made = chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": lack})
    chromium.get(f"http://127.0.0.1:{server}/")
    assert "too old" in said(chromium)
    chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
    chromium.get("about:blank")
    chromium.get_log("browser")


def test_missing_instrument_is_told(chromium, server, site):
    file = site / "instruments/gru-S-violin.zoo"
    kept = file.read_bytes()
    file.unlink()
    chromium.get(f"http://127.0.0.1:{server}/#gru-S-violin")
    chromium.wait_for("!document.getElementById('trouble').hidden")
    assert "gru-S-violin.zoo is missing" in said(chromium)
    chromium.wait_for("document.documentElement.dataset.ready")
    file.write_bytes(kept)
    chromium.click("#record")
    chromium.wait_for("document.getElementById('trouble').textContent.includes('Choose one above')")
    chromium.click("input[value=gru-S-flute]")
    chromium.wait_for("window.zoo.page.chosen?.name === 'gru-S-flute'")
    chromium.click("#melody")
    chromium.wait_for(f"{NOW}?.outputPeak > 0.01")
    chromium.get("about:blank")
    chromium.get_log("browser")


def test_instrument_that_did_not_come_can_be_chosen_again(page, site):
    file = site / "instruments/gru-S-flute.zoo"
    file.rename(file.with_suffix(".away"))
    page.click("input[value=gru-S-flute]")
    page.wait_for("!document.getElementById('trouble').hidden")
    assert page.execute_script("return document.querySelector('#instruments input:checked').value") == "gru-S-violin"
    file.with_suffix(".away").rename(file)
    page.click("input[value=gru-S-flute]")
    page.wait_for("window.zoo.page.chosen.name === 'gru-S-flute'")
    assert said(page) == ""
    page.get_log("browser")


def test_of_instruments_that_are_on_their_way_the_last_one_counts(page):
    script = """
    const whole = window.fetch, late = new Promise((resolve) => (window.arrive = resolve));
    window.fetch = (...words) => late.then(() => whole(...words));
    for (const name of ["gru-S-flute", "gru-S-violin"]) document.querySelector(`input[value=${name}]`).click();
    """
    page.execute_script(script)
    page.wait_for("window.zoo.page.choices === 3 && window.zoo.page.chosen.name === 'gru-S-violin'")
    page.execute_script("window.arrive()")
    page.wait_for("window.zoo.page.list[1].bytes")
    time.sleep(0.5)
    assert page.execute_script("return window.zoo.page.chosen.name") == "gru-S-violin"
    assert page.execute_script("return document.querySelector('#instruments input:checked').value") == "gru-S-violin"


def test_missing_part_of_the_audio_is_told(chromium, server, site):
    file = site / "core.js"
    file.rename(site / "core.away")
    chromium.get(f"http://127.0.0.1:{server}/")
    chromium.wait_for("document.documentElement.dataset.ready")
    chromium.click("#melody")
    chromium.wait_for("!document.getElementById('trouble').hidden")
    assert "core.js" in said(chromium)
    (site / "core.away").rename(file)
    chromium.get("about:blank")
    chromium.get_log("browser")


def test_address_of_no_instrument_opens_the_first(chromium, server):
    chromium.get("about:blank")
    chromium.get(f"http://127.0.0.1:{server}/#100%")
    chromium.wait_for("window.zoo?.page.chosen?.name === 'gru-S-violin'")
    assert said(chromium) == ""
    chromium.get("about:blank")


def test_microphone_that_goes_away_is_told(page, server):
    allow_microphone(page, server, "granted")
    page.click("#microphone")
    page.wait_for("document.getElementById('microphone').getAttribute('aria-pressed') === 'true'")
    allow_microphone(page, server, "denied")  # a browser ends the microphone then, as when it is unplugged
    page.wait_for("!document.getElementById('trouble').hidden")
    assert "microphone is gone" in said(page)
    assert page.find_element(By.ID, "microphone").get_attribute("aria-pressed") == "false"


OFFLINE = """
const [library, file, samples, done] = [...arguments];
(async () => {
  const { prepare } = await import("./engine.js");
  const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
  const wasm = await bytes(library), module = await WebAssembly.compile(wasm), sampleRate = 48000;
  const context = new OfflineAudioContext(1, samples.length, sampleRate);
  await context.audioWorklet.addModule("worklet.js");
  const prepared = await prepare(module, await bytes(file), { sampleRate });
  const processorOptions = { library: wasm, prepared };
  const player = new AudioWorkletNode(context, "zoo-player", { processorOptions, outputChannelCount: [1] });
  const buffer = new AudioBuffer({ length: samples.length, sampleRate });
  buffer.copyToChannel(Float32Array.from(samples), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(player).connect(context.destination);
  source.start();
  done([...(await context.startRendering()).getChannelData(0)]);
})();
"""


def test_browser_plays_what_the_player_plays(page, site):
    t = np.arange(RATE) / RATE
    sound = tone(300.0, 1.0) * (0.3 + 0.7 * np.sin(2 * np.pi * t) ** 2).astype(np.float32)
    file = "instruments/gru-S-violin.zoo"
    played = page.execute_async_script(OFFLINE, "zoo_player.wasm", file, json.loads(json.dumps(sound.tolist())))
    expected = zoo_player.Live(site / file, sample_rate=RATE, fmin=80.0).process(sound)
    assert np.abs(expected).max() > 0.01
    assert np.abs(np.array(played) - expected).max() < 1e-5


def test_script_of_the_documentation_plays(chromium, server, site):
    (script,) = re.findall(r"```js\n(.*?)```", (CHECKOUT / "docs" / "web.md").read_text(), re.DOTALL)
    (site / "own.html").write_text(f'<!doctype html><body>own<script type="module">{script};window.ready=1</script>')
    chromium.get(f"http://127.0.0.1:{server}/own.html")
    chromium.wait_for("window.ready")
    chromium.get_log("browser")
    chromium.click("body")
    chromium.wait_for("/^4[34]\\d Hz$/.test(document.title)")
    (site / "own.html").unlink()


def test_everything_can_be_reached_and_is_named(page):
    unnamed = page.execute_script(
        """return [...document.querySelectorAll("button, input, select, [role=group], [role=img]")].filter((each) =>
          !(each.getAttribute("aria-label") || each.labels?.[0]?.textContent.trim() || each.textContent.trim()))
          .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
    reached = []
    for _ in range(40):
        page.press(Keys.TAB)
        reached.append(page.execute_script("return document.activeElement.id || document.activeElement.tagName"))
    for wanted in ("melody", "microphone", "midi", "file", "record", "keyboard", "knob-transpose", "knob-gain"):
        assert wanted in reached


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_its_window_and_can_be_read(page, width, scheme):
    page.look(width=width, scheme=scheme)
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    faint = page.execute_script(CONTRAST)
    assert faint == []


# Every text whose contrast with the first opaque ground behind it is under 4.5 (WCAG 2.1, 1.4.3).
CONTRAST = """
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data;
}
const part = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
function ground(element) {
  for (; element; element = element.parentElement) {
    const colour = rgba(getComputedStyle(element).backgroundColor);
    if (colour[3] > 250) return colour;
  }
  return [255, 255, 255];
}
const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement, style = getComputedStyle(element);
  if (!node.data.trim() || !element.checkVisibility()) continue;
  if (["SCRIPT", "NOSCRIPT", "OPTION"].includes(element.tagName)) continue;
  const [a, b] = [light(rgba(style.color)), light(ground(element))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(node.data.trim() + " " + ((a + 0.05) / (b + 0.05)).toFixed(2));
}
return faint;
"""
