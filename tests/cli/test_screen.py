"""Tables: fitted and coloured on a terminal, plain lines elsewhere, never with a figure cut."""

import re
import sys

import pytest

from gated.cli.screen import Screen

NAMES = ("model", "MASE", "coverage 50%", "what it is")
ROWS = [("LSTM", "12,345", "50%", "a sentence of several words that can be broken anywhere"),
        ("naive", "0.5", "7%", "short")]  # fmt: skip
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of so many columns."""

    def make(columns):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")

    return make


def shown(capsys):
    Screen().table(NAMES, ROWS, bold=[0])
    return capsys.readouterr().out


def test_a_pipe_gets_one_plain_line_a_row(capsys):
    lines = shown(capsys).splitlines()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert lines[1].split()[:3] == ["LSTM", "12,345", "50%"]


@pytest.mark.parametrize("columns", [20, 40, 60, 100])
def test_a_terminal_of_any_width_shows_every_figure(terminal, capsys, columns):
    terminal(columns)
    text = ESCAPE.sub("", shown(capsys))
    assert all(figure in text for row in ROWS for figure in row[:3])


def test_a_sentence_is_broken_to_fit_the_terminal(terminal, capsys):
    terminal(60)
    lines = ESCAPE.sub("", shown(capsys)).splitlines()
    assert max(map(len, lines)) <= 60
    assert len(lines) > 3 + len(ROWS)


def test_no_color_leaves_no_colour(terminal, capsys, monkeypatch):
    terminal(100)
    monkeypatch.setenv("NO_COLOR", "1")
    codes = {code for found in ESCAPE.findall(shown(capsys)) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2"}  # plain, bold and dim are no colours
