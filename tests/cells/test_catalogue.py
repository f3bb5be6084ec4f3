"""The catalogue: cells by name, with what is known about each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gated
from gated.equations import Cell, U, W, tanh
from gated.errors import CellError

NAMES = gated.cells()


class Own(Cell):
    def step(self, x, h):
        h = tanh(W @ x + U @ h)
        return h


def test_the_cells_of_today():
    assert NAMES == [
        *("rnn", "rnn-relu"),
        *("lstm-1997", "lstm", "peephole", "nig", "nfg", "nog", "niaf", "noaf", "np", "cifg"),
        *("fgr", "lstmp"),
        *("gru", "gru-reset-before", "mut1", "mut2", "mut3"),
        *("layernorm-lstm", "indrnn", "minlstm", "mingru", "sru", "slstm"),
        *("gru-d", "t-lstm"),
    ]


def test_every_class_in_the_catalogues_files_is_in_the_catalogue():
    # gated.cells is the function that lists names, not the package
    folder = Path(gated.__file__).parent / "cells"
    defined = {
        node.name
        for file in folder.glob("*.py")
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    assert {type(gated.cell(name)).__name__ for name in NAMES} == defined


@pytest.mark.parametrize("name", NAMES)
class TestCell:
    def test_has_the_name_it_is_listed_under(self, name):
        assert gated.cell(name).name == name
        assert gated.cell(name).graph.cell == name

    def test_says_where_it_comes_from(self, name):
        source = gated.cell(name).source
        assert any(str(year) in source for year in range(1980, 2030)), "a year"
        assert "," in source

    def test_is_described_in_a_docstring_of_its_own(self, name):
        cls = type(gated.cell(name))
        assert "__doc__" in vars(cls)
        assert cls.__doc__.splitlines()[0].endswith(".")

    def test_renames_only_symbols_that_it_has(self, name):
        cell = gated.cell(name)
        letters = {p.family for p in cell.parameters} | {p.key for p in cell.parameters}
        symbols = letters | set(cell.graph.equations) | set(cell.graph.inputs)
        assert set(cell.renames) <= symbols

    def test_has_its_output_first(self, name):
        assert gated.cell(name).states[0].name == "h"

    def test_is_found_in_any_case_and_with_underscores(self, name):
        assert gated.cell(name.upper().replace("-", "_")) is gated.cell(name)


def test_a_cell_and_a_cells_class_are_passed_through():
    cell = Own()
    assert gated.cell(cell) is cell
    assert isinstance(gated.cell(Own), Own)


def test_a_wrong_name_leads_to_the_right_one():
    with pytest.raises(CellError, match=r"no cell 'lsmt': did you mean 'lstm'\?"):
        gated.cell("lsmt")


def test_a_name_like_no_other_gets_the_whole_list():
    with pytest.raises(CellError, match="known are rnn, rnn-relu, lstm-1997, lstm"):
        gated.cell("transformer")


@pytest.mark.parametrize("which", [None, 3, ["lstm"], int, tanh])
def test_what_cannot_be_a_cell_is_refused(which):
    with pytest.raises(CellError, match="a cell is a name, a Cell or its class, got"):
        gated.cell(which)


def test_a_class_without_equations_is_refused():
    with pytest.raises(CellError, match="Cell has no step"):
        gated.cell(Cell)


def test_the_list_of_names_is_the_callers_own():
    gated.cells().clear()
    assert gated.cells() == NAMES


def test_the_two_grus_differ_in_where_the_reset_acts():
    after, before = gated.cell("gru"), gated.cell("gru-reset-before")
    assert [p.key for p in after.parameters if p.key not in {q.key for q in before.parameters}] == [
        "b_h.n"
    ]
    product = next(n for n in before.graph.nodes() if n.args and n.args[0].label == "U.n")
    assert product.args[1].op == "mul"
    product = next(n for n in after.graph.nodes() if n.args and n.args[0].label == "U.n")
    assert product.args[1].op == "state"
