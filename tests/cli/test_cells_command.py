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
