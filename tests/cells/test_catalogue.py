"""The catalogue: cells by name, with what is known about each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

import gated
from gated.equations import Cell, U, W, tanh
from gated.equations.layout import layout
from gated.equations.render import expression
from gated.errors import CellError

NAMES = gated.cells()


class Own(Cell):
    def step(self, x, h):
        h = tanh(W @ x + U @ h)
        return h


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


# what the papers claim: units that see themselves alone, states that are linear, the matrix
# products that wait for one another in a step, and the factor by which a memory keeps its value
FACTS = {
    "rnn": (False, False, 1, {}),
    "rnn-relu": (False, False, 1, {}),
    "lstm-1997": (False, False, 1, {"c": "1"}),
    "lstm": (False, False, 1, {"c": "f"}),
    "peephole": (False, False, 1, {"c": "f"}),
    "nig": (False, False, 1, {"c": "f"}),
    "nfg": (False, False, 1, {"c": "1"}),
    "nog": (False, False, 1, {"c": "f"}),
    "niaf": (False, False, 1, {"c": "f"}),
    "noaf": (False, False, 1, {"c": "f"}),
    "np": (False, False, 1, {"c": "f"}),
    "cifg": (False, False, 1, {"c": "f"}),
    "fgr": (False, False, 1, {"c": "f"}),
    "lstmp": (False, False, 2, {"c": "f"}),
    "gru": (False, False, 1, {"h": "z"}),
    "gru-reset-before": (False, False, 2, {"h": "z"}),
    "mut1": (False, False, 2, {"h": "1 - z"}),
    "mut2": (False, False, 2, {"h": "1 - z"}),
    "mut3": (False, False, 2, {"h": "1 - z"}),
    "layernorm-lstm": (False, False, 1, {"c": "f"}),
    "indrnn": (True, False, 0, {}),
    "minlstm": (True, True, 0, {"h": "f"}),
    "mingru": (True, True, 0, {"h": "1 - z"}),
    "sru": (True, False, 0, {"c": "f"}),
    "slstm": (False, False, 1, {"c": "f", "n": "f"}),
    "gru-d": (False, False, 2, {"h": "(1 - z) ⊙ gamma_h", "x_last": "select(mask, 0, 1)"}),
    "t-lstm": (False, False, 1, {"c": "f"}),
}


def test_the_cells_of_today():
    assert list(FACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_those_that_the_papers_claim(name):
    cell = gated.cell(name)
    kept = {state: expression(factor) for state, factor in cell.kept.items()}
    assert (cell.diagonal, cell.linear, cell.successive_products, kept) == FACTS[name]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "where" in vars(type(gated.cell(name)))]
)
def test_a_variant_prints_its_full_set_of_equations(name):
    cell = gated.cell(name)
    lines = dict(line.split("=", 1) for line in str(cell).splitlines())
    printed = {left.strip() for left in lines}
    assert {state.name for state in cell.states} <= printed
    known = {p.key.replace(".", "_") for p in cell.parameters} | {f"{s.name}₋" for s in cell.states}
    known |= {*cell.graph.inputs, *printed, "σ", "tanh"}
    used = {word for right in lines.values() for word in re.findall(r"[^\W\d]\w*₋?", right)}
    assert used <= known


def test_the_variants_are_what_differs_from_their_base():
    assert str(gated.cell("cifg")).splitlines() == [
        "i = σ(W_i x + U_i h₋ + p_i ⊙ c₋ + b_i)",
        "f = 1 - i",
        "g = tanh(W_g x + U_g h₋ + b_g)",
        "c = f ⊙ c₋ + i ⊙ g",
        "o = σ(W_o x + U_o h₋ + p_o ⊙ c + b_o)",
        "h = o ⊙ tanh(c)",
    ]
    assert str(gated.cell("lstm-1997")).splitlines() == [
        "i = σ(W_i x + U_i h₋ + b_i)",
        "g = tanh(W_g x + U_g h₋ + b_g)",
        "o = σ(W_o x + U_o h₋ + b_o)",
        "c = c₋ + i ⊙ g",
        "h = o ⊙ tanh(c)",
    ]
    assert str(gated.cell("mut3")).splitlines() == [
        "z = σ(W_z x + U_z tanh(h₋) + b_z)",
        "r = σ(W_r x + U_r h₋ + b_r)",
        "n = tanh(U_n (r ⊙ h₋) + W_n x + b_n)",
        "h = n ⊙ z + h₋ ⊙ (1 - z)",
    ]


def test_the_t_lstms_own_matrices_leave_the_lstms_four_rows_alone():
    own, lstm = (layout(gated.cell(name).graph) for name in ("t-lstm", "lstm"))
    assert {slot.name: slot.keys for slot in own} == {
        "W_d": ("W_d",),
        "b_d": ("b_d",),
        **{slot.name: slot.keys for slot in lstm},
    }


def test_gains_start_at_1_and_the_mean_of_what_is_missing_at_0():
    normalised = gated.Recurrent("layernorm-lstm", 3, 4)
    gains = [w for name, w in normalised.named_parameters() if name.startswith("gain")]
    assert len(gains) == 3
    assert all((gain == 1).all() for gain in gains)
    assert not gated.Recurrent("gru-d", 3, 4).x_mean_l0.any()


def test_the_mean_of_what_is_missing_can_be_set_and_frozen():
    layer = gated.Recurrent("gru-d", 3, 4)
    layer.x_mean_l0.requires_grad_(False).copy_(torch.tensor([1.0, 2.0, 3.0]))
    layer.W_gamma_x_l0.detach().fill_(1.0)  # drawn below 0, nothing decays towards the mean
    missing = torch.full((1, 1, 3), float("nan"))
    *_, trace = layer(
        missing, mask=torch.zeros(1, 1, 3), delta=torch.full((1, 1, 3), 1e4), trace=True
    )
    seen_as = trace["gamma_x"] * 0 + (1 - trace["gamma_x"]) * layer.x_mean_l0
    torch.testing.assert_close(trace["x_hat"], seen_as)
    assert trace["x_hat"].max() > 0.5
    assert [n for n, w in layer.named_parameters() if not w.requires_grad] == ["x_mean_l0"]


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
