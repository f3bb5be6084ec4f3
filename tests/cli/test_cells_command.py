"""`gated cells`: what follows from the equations, printed without PyTorch."""

import json
import subprocess
import sys

import pytest

import gated as library


def test_every_cell_has_its_line_with_states_and_gates(gated):
    shown = gated("cells")
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert shown.code == 0
    assert lines.keys() >= set(library.cells())
    assert "h c" in lines["lstm"]
    assert "i f g o" in lines["lstm"]


def test_parameters_are_counted_for_the_sizes_that_are_given(gated):
    content = json.loads(gated("cells", "lstm", "-D", 3, "-H", 5, "--json").out)
    assert content["parameter_count"] == 4 * (5 * 3 + 5 * 5 + 5)  # W, U and b of i, f, g, o


def test_a_further_size_is_half_of_the_hidden_size_unless_given(gated):
    free = json.loads(gated("cells", "lstmp", "-D", 2, "-H", 6, "--json").out)
    given = json.loads(gated("cells", "lstmp", "-D", 2, "-H", 6, "--size", "P=1", "--json").out)
    assert free["sizes"]["P"] == 3
    assert given["parameter_count"] == 4 * (6 * 2 + 6 * 1 + 6) + 1 * 6


def test_one_cell_is_shown_with_equations_facts_and_source(gated):
    out = gated("cells", "lstm").out
    assert "f = σ(W_f x + U_f h₋ + b_f)" in out
    assert "c is kept by the factor f" in out
    assert "Learning to forget" in out


def test_latex_is_printed_alone(gated):
    assert gated("cells", "gru", "--latex").out == library.cell("gru").latex() + "\n"


def test_json_of_all_cells_is_one_object(gated):
    content = json.loads(gated("cells", "--json").out)
    assert [cell["name"] for cell in content["cells"]] == library.cells()


def test_a_wrong_name_leads_to_the_right_one(gated):
    shown = gated("cells", "lstn")
    assert (shown.code, shown.out) == (2, "")
    assert "did you mean 'lstm'" in shown.line


@pytest.mark.parametrize("size", ["P", "P=x", "P=0", "H=3"])
def test_a_size_that_is_none_is_refused(gated, size):
    shown = gated("cells", "lstmp", "--size", size)
    assert shown.code == 2
    assert f"--size {size}" in shown.line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["slstm", "--size", "Q=3"], "slstm has no size Q; its sizes are D, H"),
        (["lstm", "--size", "P=3"], "lstm has no size P; its sizes are D, H"),
        (["lstmp", "--size", "P=3", "--size", "Q=3"], "lstmp has no size Q; its sizes are D, H, P"),
        (["--size", "Q=3"], "the catalogue has no size Q; the sizes are D, H, P"),
    ],
)
def test_a_size_that_the_cell_has_not_is_refused(gated, arguments, complaint):
    shown = gated("cells", *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert shown.line == f"error: {complaint}"


def test_the_shares_of_the_table_are_those_of_the_documentation(gated):
    from gated.inspect.cell.page import compared

    lines = {line.split()[0]: line for line in gated("cells").out.splitlines() if line}
    for name in library.cells():
        assert f" {compared(library.cell(name))[0].share} " in lines[name]


def test_convlstm_leads_to_the_layer(gated):
    shown = gated("cells", "convlstm")
    assert (shown.code, shown.out) == (2, "")
    assert "gated.ConvLSTM" in shown.line


@pytest.mark.parametrize("arguments", [["--help"], ["cells"], ["cells", "lstm"], ["--version"]])
def test_nothing_heavy_is_imported(arguments):
    program = (
        "import sys; from gated.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'pandas', 'numpy', 'lightning_fabric'} & set(sys.modules);"
        "sys.exit(repr(heavy) if heavy else code)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


MINE = '''
from gated.equations import Cell, U, W, b, sigmoid, tanh
from beside import SCALE


class Leaky(Cell):
    """A memory that leaks."""

    def step(self, x, h):
        z = sigmoid(W.z @ x + b.z)
        h = z * h + SCALE * (1 - z) * tanh(W.g @ x + U.g @ h)
        return h


def helper():
    pass
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a file of cells, and a module that it imports."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_cells.py").write_text(MINE)
    (tmp_path / "beside.py").write_text("SCALE = 0.5\n")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("beside", "my_cells", "broken", "_own_cells"):
            del sys.modules[name]


@pytest.mark.parametrize("place", ["my_cells.py:Leaky", "./my_cells.py:Leaky", "my_cells:Leaky"])
def test_a_cell_of_ones_own_is_shown_like_any_other(gated, mine, place):
    shown = gated("cells", place)
    assert shown.code == 0
    assert "h = z ⊙ h₋ + 0.5 ⊙ (1 - z) ⊙ tanh(W_g x + U_g h₋)" in shown.out
    assert "h is kept by the factor z" in shown.out
    assert "z_{t} &= \\sigma" in gated("cells", place, "--latex").out
    assert json.loads(gated("cells", place, "--json").out)["name"] == "leaky"


def test_a_file_called_as_a_loaded_package_is_still_the_file(gated, mine):
    (mine / "json.py").write_text(MINE)
    assert gated("cells", "json.py:Leaky").out.startswith("leaky: A memory that leaks.")
    assert json.loads("1") == 1  # the package is as it was


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("nowhere.py:Leaky", "nowhere.py: there is no such file"),
        ("no.such.module:Leaky", "no.such.module: there is no module no"),
        ("my_cells.py:leeky", "my_cells.py has no cell 'leeky': did you mean 'Leaky'?"),
        ("my_cells.py:Other", "my_cells.py has no cell 'Other': it defines Leaky"),
        ("my_cells.py", "my_cells.py: which cell? It defines Leaky: write my_cells.py:Leaky"),
        ("my_cells.py:helper", "my_cells.py:helper is a function, not a cell"),
        ("beside.py:Leaky", "beside.py defines no cell"),
        (":Leaky", ":Leaky: expected FILE.py:Class or package.module:Class"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(gated, mine, place, complaint):
    shown = gated("cells", place)
    assert (shown.code, shown.out) == (2, "")
    assert shown.line.startswith(f"error: {complaint}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (MINE.replace("b.z)", "q)"), "cell leaky (broken.py, line 10: "),
        (MINE.replace("return h", "return x"), "cell leaky (broken.py, line "),
        ("def f(:\n", "broken.py, line 1: invalid syntax"),
        ("x = 1\n1 / 0\n", "broken.py, line 2: ZeroDivisionError: division by zero"),
        ("import not_there\n", "broken.py, line 1: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)\n", "broken.py, line 1: SystemExit: 3"),
    ],
    ids=["unknown symbol", "wrong return", "syntax", "division", "import", "exit"],
)
def test_a_fault_in_the_file_is_told_with_its_line(gated, mine, text, complaint):
    (mine / "broken.py").write_text(text)
    shown = gated("cells", "broken.py:Leaky")
    assert (shown.code, shown.out) == (2, "")
    assert complaint in shown.line


def test_a_page_is_written_for_a_cell_of_the_catalogue_and_for_ones_own(gated, mine):
    for name in ("lstm", "my_cells.py:Leaky"):
        shown = gated("cells", name, "--page", "cell.html")
        assert (shown.code, shown.out) == (0, "wrote cell.html\n")
        text = (mine / "cell.html").read_text("utf-8")
        assert "</html>" in text
        assert 'class="gated-flow"' in text
    assert "from my_cells import Leaky" in text
    assert not list(mine.glob(".*"))  # nothing half written is left


def test_a_page_and_json_come_together(gated, mine):
    content = json.loads(gated("cells", "gru", "--page", "gru.html", "--json").out)
    assert (content["name"], content["page"]) == ("gru", "gru.html")
    assert (mine / "gru.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--page", "x.html"], "--page is for one cell"),
        (["lstm", "--page", "x.html", "--latex"], "--page is for one cell"),
        (["lstm", "--page", "no/x.html"], "--page no/x.html: there is no directory no"),
    ],
)
def test_a_page_that_cannot_be_written_is_refused(gated, mine, arguments, complaint):
    shown = gated("cells", *arguments)
    assert shown.code == 2
    assert complaint in shown.line


def test_the_list_stands_by_family_and_gives_the_share_of_the_lstm(gated):
    lines = gated("cells").out.splitlines()
    assert lines.index("The long short-term memory") < lines.index(
        next(line for line in lines if line.startswith("lstm "))
    )
    shares = {line.split()[0]: line for line in lines if "%" in line}
    assert "100%" in shares["lstm"]
    assert "25%" in shares["rnn"]
