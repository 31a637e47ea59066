"""A real browser for tests, and what it requests."""

import contextlib
import json
import shutil

import pytest


@contextlib.contextmanager
def chromium():
    """A browser that logs its requests."""
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip(
            "no Chromium or its driver: apt-get install chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for option in (
        "headless=new", "no-sandbox", "disable-gpu", "window-size=400,700",
    ):  # fmt: skip
        options.add_argument(f"--{option}")
    options.set_capability(
        "goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"}
    )
    session = webdriver.Chrome(options, Service(driver))
    try:
        # Requests of the browser itself do not count.
        session.get("about:blank")
        session.get_log("performance")
        yield session
    finally:
        session.quit()


def fetched(session):
    """URLs that the browser requested for the page, by the network log of the
    DevTools protocol, which scripts cannot change."""
    urls = []
    for entry in session.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        details = message["params"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(details["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            urls.append(details["url"])
    return urls


def wait_for(session, selector):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(session, 30, 0.05).until(
        lambda s: s.find_elements("css selector", selector)
    )[0]
