"""A real browser without a window, driven over WebDriver's own protocol (plain HTTP and JSON)."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what WebDriver calls an element's key
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _first(*names):
    return next(filter(None, map(shutil.which, names)), None)


CHROMIUM = _first("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = _first("chromedriver", "chromium-driver")
MISSING = None if CHROMIUM and DRIVER else "there is no chromium with its chromedriver here"


class Browser:
    def __init__(self, base):
        self._base = base

    def command(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with _LOCAL.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()[:500]}") from None

    def open(self, url):
        self.command("POST", "/url", {"url": url})

    def run(self, script, *args):
        """Run a function's body, and wait for what it promises."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(args)})

    def cdp(self, name, **params):
        """A command of Chromium's own protocol."""
        return self.command("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def click(self, selector):
        found = self.command("POST", "/element", {"using": "css selector", "value": selector})
        self.command("POST", f"/element/{found[_ELEMENT]}/click", {})

    def press(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.command("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def wait_for(self, script, *, seconds=20):
        until = time.monotonic() + seconds
        while not (value := self.run(f"return {script}")):
            if time.monotonic() > until:
                raise AssertionError(f"never came true: {script}")
            time.sleep(0.05)
        return value

    def log(self, kind):
        """What has been logged since the last call: "browser" (the console), "performance" (network and all)."""
        return self.command("POST", "/se/log", {"type": kind})

    def requests(self):
        """The addresses that were asked for, but for those that hold their content themselves."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def screenshot(self, path):
        size = self.cdp("Page.getLayoutMetrics")["cssContentSize"]  # all of the page, not what the window shows
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def look(self, *, width=1200, height=900, scheme="light", media=""):
        """Set the window's size, the colour scheme, and "print" or "" for a screen."""
        self.cdp("Emulation.setScrollbarsHidden", hidden=True)  # as on a phone: the page has all of the width
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.cdp("Emulation.setEmulatedMedia", media=media, features=[feature])


@contextmanager
def start_browser(folder):
    """Start one, with its profile and downloads in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    base = f"http://127.0.0.1:{port}"
    flags = [
        "--headless=new",
        "--no-sandbox",  # as root, in a container
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--mute-audio",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
    ]
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": {
            "binary": CHROMIUM,
            "args": flags,
            "prefs": {"download.default_directory": str(folder / "downloads")},
        },
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "unhandledPromptBehavior": "dismiss",
    }
    browser = None
    try:
        until = time.monotonic() + 30
        while True:
            try:
                found = Browser(base).command("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except urllib.error.URLError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        browser = Browser(f"{base}/session/{found['sessionId']}")
        browser.open("about:blank")
        browser.log("performance")  # of the page that the browser began with
        yield browser
    finally:
        try:
            if browser is not None:
                browser.command("DELETE", "")
        finally:
            driver.terminate()
            driver.wait(timeout=20)
