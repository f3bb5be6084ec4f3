"""What tests of pages in a real browser share: their marks, the browser, an open page."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a chromium binary"),
    # playwright's pipes and event loop close after pytest has looked
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def marked(test):
    """One test with these marks, in a file with others."""
    for mark in MARKS:
        test = mark(test)
    return test


@contextmanager
def launched() -> Iterator[object]:
    """A browser that asks nobody for anything."""
    from playwright.sync_api import sync_playwright

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                      "--disable-component-update", "--disable-sync", "--no-first-run"],
            )  # fmt: skip
            yield chromium
            chromium.close()


class Visit:
    """An open page, and everything it complained about or asked for."""

    def __init__(self, browser, path, viewport, scheme="light", before=""):
        self.context = browser.new_context(
            viewport=viewport, color_scheme=scheme, is_mobile=viewport["width"] < 500
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.hear(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        if before:
            self.page.add_init_script(before)
        self.url = path.as_uri()
        self.page.goto(self.url)

    def hear(self, text):
        """What the page wrote on its console."""
        self.complaints.append(text)

    def ask(self, script, *args):
        return self.page.evaluate(script, *args)

    def until(self, script):
        """Wait until it is true; playwright's own wait needs the eval that the page forbids."""
        for _ in range(200):
            if self.ask(script):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"still not true after 5 s: {script}")
