"""The tutorial "a cell of one's own", read from top to bottom: every line of it runs."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from gated.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "own-cell.md"
BLOCK = re.compile(r"```(python|text|console)\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(PAGE.read_text("utf-8"))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The reader's names at the end, and every block with what it printed."""
    folder = tmp_path_factory.mktemp("reader")
    names: dict[str, object] = {"__name__": "reader"}
    shown: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as quiet:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        for kind, code in blocks():
            file = re.match(r"# (\w+\.py)\n", code)
            if file:
                Path(file[1]).write_text(code, "utf-8")
                importlib.invalidate_caches()
            if kind == "python":
                printed: list[str] = []
                quiet.setitem(
                    names, "print", lambda *v, to=printed: to.append(" ".join(map(str, v)))
                )
                exec(compile(code, f"{PAGE.name}: {code[:40]!r}", "exec"), names)
                shown.append((code, "".join(f"{line}\n" for line in printed)))
    yield names, shown, folder
    sys.modules.pop("keeper", None)


def test_every_output_that_the_page_shows_is_what_is_printed(told):
    _, shown, _ = told
    printed = dict(shown)
    pairs = [(b[1], a[1]) for a, b in zip(blocks()[1:], blocks(), strict=False)
             if a[0] == "text" and b[0] == "python"]  # fmt: skip
    assert len(pairs) >= 7
    for code, expected in pairs:
        assert printed[code] == expected


def test_its_commands_run_and_write_what_they_say(told, monkeypatch, capfd):
    _, _, folder = told
    monkeypatch.chdir(folder)
    (commands,) = [code for kind, code in blocks() if kind == "console"]
    for line in commands.splitlines():
        assert main(shlex.split(line.removeprefix("$ "))[1:]) == 0
    assert "keeper: One gate keeps and writes" in capfd.readouterr().out
    assert 'class="gated-flow"' in (folder / "keeper.html").read_text("utf-8")


def test_the_cell_is_about_ten_lines(told):
    (code,) = [code for kind, code in blocks() if code.startswith("# keeper.py")]
    assert len([line for line in code.splitlines() if line.strip()]) <= 11


def test_both_cells_with_a_memory_solve_the_task_and_the_rnn_does_not(told):
    errors = told[0]["errors"]
    assert errors["keeper"] < 0.02
    assert errors["lstm"] < 0.02
    assert errors["rnn"] > 0.3


def test_the_numbers_on_the_page_are_of_the_size_of_those_that_come_out(told):
    text = PAGE.read_text("utf-8")
    for name, error in told[0]["errors"].items():
        said = float(re.search(rf"^    {name} +([\d.]+)$", text, re.MULTILINE)[1])
        assert said / 10 <= error <= max(10 * said, 0.02)


def test_the_claims_in_its_sentences_hold(told):
    names, _, _ = told
    gated, keeper = names["gated"], names["cell"]
    assert gated.cell("lstm").successive_products == 1
    biases = gated.Recurrent(names["Keeper"], 2, 4, forget_bias=1.0).bias_l0
    assert biases[:4].tolist() == [1.0] * 4  # those of k
    assert gated.cell(names["Blind"]).parameter_count(8, 16) < keeper.parameter_count(8, 16)
    for maps in (gated.Heads(4), gated.Convolution(3)):
        gated.Recurrent(names["Keeper"], 8, 16, maps=maps)
