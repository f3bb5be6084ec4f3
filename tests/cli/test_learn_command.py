"""`gated learn`: the lesson is written, and opened where there is a browser."""

import json
import webbrowser
from pathlib import Path

import pytest


@pytest.fixture
def browser(monkeypatch, tmp_path):
    """What a web browser was asked to open; `browser.append` may be replaced by a failure."""
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not asked.append(url))
    return asked


def test_it_writes_the_lesson_here_and_opens_it(gated, browser):
    shown = gated("learn")
    assert (shown.code, shown.out, shown.err) == (0, "lesson: gated-lesson.html\n", "")
    assert "<title>Inside the LSTM</title>" in Path("gated-lesson.html").read_text("utf-8")
    assert browser == [Path("gated-lesson.html").resolve().as_uri()]


def test_it_opens_nothing_if_not_wanted_and_tells_a_program(gated, browser):
    shown = gated("learn", "--out", "class.html", "--no-open", "--json")
    assert json.loads(shown.out) == {"lesson": "class.html", "opened": False}
    assert Path("class.html").is_file()
    assert browser == []


@pytest.mark.parametrize("failure", [False, webbrowser.Error("no browser")])
def test_without_a_display_it_prints_the_path_and_succeeds(gated, browser, monkeypatch, failure):
    def nothing(url):
        if isinstance(failure, Exception):
            raise failure
        return failure

    monkeypatch.setattr(webbrowser, "open", nothing)
    shown = gated("learn")
    assert shown.code == 0
    assert shown.out.splitlines() == [
        "lesson: gated-lesson.html",
        "no web browser could be opened here; open the file in one",
    ]


def test_a_directory_that_is_not_there_is_refused(gated, browser):
    shown = gated("learn", "--out", "no/lesson.html")
    assert shown.code == 2
    assert "--out no/lesson.html: there is no directory no" in shown.line
