"""`projected`: the output gets P units, read from the memory by a matrix (Sak 2014)."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from small_cells import OneUnit

import gated
from gated import Heads
from gated.engines.pytorch import canonical
from gated.equations import Cell, R, U, V, W, b, sigmoid, tanh
from gated.equations.maps import mapped
from gated.equations.projection import projected
from gated.errors import CellError


def shapes(cell: Cell) -> dict[str, tuple[str | int, ...]]:
    return {p.key: p.shape for p in cell.parameters}


def refused(cell: Cell) -> str:
    with pytest.raises(CellError) as error:
        projected(cell)
    return str(error.value)


def test_the_projected_lstm_is_the_catalogues_lstmp():
    cell, lstmp = projected(gated.cell("lstm")), gated.cell("lstmp")
    assert canonical(cell.graph) == canonical(lstmp.graph)
    assert str(cell) == str(lstmp)
    assert shapes(cell) == shapes(lstmp)
    assert cell.states == lstmp.states


def test_it_keeps_the_cells_name_and_leaves_the_cell_as_it_was():
    lstm = gated.cell("lstm")
    before = str(lstm), shapes(lstm)
    assert projected(lstm).name == "lstm"
    assert (str(lstm), shapes(lstm)) == before


@pytest.mark.parametrize("name", ["peephole", "t-lstm", "fgr", "slstm"])
def test_matrices_that_read_the_output_narrow_and_all_else_stays(name):
    cell = gated.cell(name)
    before, after = shapes(cell), shapes(projected(cell))
    reading_h = re.findall(r"\w+_\w+(?= h₋)", str(cell))
    assert reading_h
    for key, shape in before.items():
        narrow = key.replace(".", "_") in reading_h
        assert after.pop(key) == (("H", "P") if narrow else shape)
    (matrix,) = after.values()
    assert matrix == ("P", "H")


def test_a_cell_that_has_an_r_gets_its_projection_under_another_letter():
    cell = projected(gated.cell("fgr"))
    assert str(cell).splitlines()[-1] == "h = W_p (o ⊙ tanh(c))"
    assert r"h_{t} &= W_{p} (o_{t}" in cell.latex()


def test_an_output_that_no_matrix_reads_is_projected_too():
    class Highway(Cell):
        def step(self, x, h, c):
            f = sigmoid(W.f @ x + b.f)
            c = f * c + (1 - f) * (W.x @ x)
            h = f * tanh(c)
            return h, c

    assert str(projected(Highway())).splitlines()[-1] == "h = R (f ⊙ tanh(c))"


def test_a_state_that_reads_the_new_output_reads_the_projected_one():
    class After(Cell):
        def step(self, x, h, c):
            h = sigmoid(W.h @ x) * c
            c = 0.5 * c + U.c @ h
            return h, c

    assert shapes(projected(After()))["U.c"] == ("H", "P")


class TestRefused:
    @pytest.mark.parametrize("name", ["gru", "gru-reset-before", "rnn"])
    def test_a_cell_of_the_catalogue_without_an_output_gate(self, name):
        assert re.match(
            rf"cell {name} cannot be projected: its h is both memory", refused(gated.cell(name))
        )

    @pytest.mark.parametrize("which", ["mut1", "mingru", "gru-d", "indrnn", OneUnit])
    def test_an_output_that_is_read_unit_by_unit(self, which):
        assert "reads it unit by unit" in refused(gated.cell(which))

    def test_an_output_that_nothing_multiplies(self):
        assert "its output h = tanh(c) has no output gate" in refused(gated.cell("nog"))

    def test_the_message_shows_what_reads_it(self):
        assert "z ⊙ h₋ reads it unit by unit" in refused(gated.cell("gru"))

    def test_an_output_that_is_projected_already(self):
        for cell in (gated.cell("lstmp"), projected(gated.cell("lstm"))):
            assert "its output h has P units already" in refused(cell)

    def test_a_matrix_that_reads_the_output_and_the_memory(self):
        class Shared(Cell):
            def step(self, x, h, c):
                c = 0.5 * c + tanh(W @ x + U @ h + U @ c)
                h = tanh(c)
                return h, c

        assert "U multiplies h and what keeps H units" in refused(Shared())

    def test_a_cell_that_has_a_size_p_of_its_own(self):
        class Own(Cell):
            inputs = {"x": "D", "y": "P"}

            def step(self, x, y, h, c):
                c = 0.5 * c + tanh(W @ x + V @ y + U @ h)
                h = tanh(c)
                return h, c

        assert "P is a size of its own" in refused(Own())

    def test_a_cell_that_has_taken_both_letters(self):
        W_p = gated.equations.Family("W_p")

        class Full(Cell):
            def step(self, x, h, c):
                c = 0.5 * c + tanh(R @ x + W_p @ h)
                h = tanh(c)
                return h, c

        assert "take the letters R and W_p" in refused(Full())


class TestWithWrappers:
    """Maps and regularisers act on the h of P units, whichever was asked for first."""

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda cell: gated.zoneout(cell, h=0.1, c=0.5),
            lambda cell: gated.recurrent_dropout(cell, 0.25, scope="sequence"),
            lambda cell: gated.variational_dropout(cell, inputs=0.1, states=0.2),
            lambda cell: gated.dropconnect(cell, 0.5),
            lambda cell: mapped(cell, {"U": Heads(2)}),
            lambda cell: gated.zoneout(mapped(cell, {"U": Heads(2)}), 0.1),
        ],
    )
    def test_before_or_after_is_the_same(self, wrap):
        first, last = wrap(projected(gated.cell("lstm"))), projected(wrap(gated.cell("lstm")))
        assert str(first) == str(last)
        assert str(first.training) == str(last.training)
        assert first.noise == last.noise
        assert shapes(first) == shapes(last)

    def test_noise_on_the_output_has_p_units(self):
        cell = projected(gated.zoneout("lstm", 0.1))
        assert {n.name: n.size for n in cell.noise} == {"zoneout_h": "P", "zoneout_c": "H"}

    def test_a_diagonal_recurrence_cannot_read_another_number_of_units(self):
        message = refused(mapped(gated.cell("lstm"), {"U": "diagonal"}))
        assert "U.i is (H, P): a diagonal map needs as many rows as columns" in message


@pytest.mark.parametrize("again", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_it_can_be_copied_and_pickled(again):
    cell = again(projected(gated.zoneout("lstm", 0.1)))
    assert cell.states[0].size == "P"
    assert str(cell.training) == str(projected(gated.zoneout("lstm", 0.1)).training)
