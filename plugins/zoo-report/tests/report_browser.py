"""A real browser without a window: Debian's chromium, driven by selenium through its chromedriver."""

import base64
import json
import os
import shutil
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait


def _first(*names):
    return next(filter(None, map(shutil.which, names)), None)


CHROMIUM = _first("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DRIVER = _first("chromedriver", "chromium-driver")
MISSING = None if CHROMIUM and DRIVER else "there is no chromium with its chromedriver here"


class Browser(webdriver.Chrome):
    def click(self, selector):
        self.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, *keys):
        webdriver.ActionChains(self).send_keys(*keys).perform()

    def wait_for(self, script, *, seconds=20):
        wait = WebDriverWait(self, seconds, poll_frequency=0.05)
        return wait.until(lambda _: self.execute_script(f"return {script}"), f"never came true: {script}")

    def requests(self):
        """The addresses that were asked for since the last call, but for those that hold their content themselves."""
        messages = [json.loads(entry["message"])["message"] for entry in self.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def save_whole_page(self, path):
        size = self.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        options = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self.execute_cdp_cmd("Page.captureScreenshot", options)["data"]))

    def look(self, *, width=1200, height=900, scheme="light", media=""):
        """Set the window's size, the colour scheme, and "print" or "" for a screen."""
        # as on a phone: the page has all of the width
        self.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})


@contextmanager
def start_browser(folder, *flags):
    """Start one, with its profile and downloads in a folder, and further flags of chromium's."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",  # as root, in a container
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--mute-audio",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={folder / 'profile'}",
        *flags,
    ):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.unhandled_prompt_behavior = "dismiss"
    # the driver of this system by its path: selenium looks for none elsewhere
    service = webdriver.ChromeService(executable_path=DRIVER, env={**os.environ, "HOME": str(folder)})
    with Browser(options=options, service=service) as browser:
        browser.get("about:blank")
        browser.get_log("performance")  # of the page that the browser began with
        yield browser
