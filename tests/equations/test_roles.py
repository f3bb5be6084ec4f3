"""What part each parameter plays: what it reads, and in which shape."""

from __future__ import annotations

import pytest

import gated
from gated.equations import Cell, Family, U, V, W, b, mean, p, sigmoid, tanh
from gated.equations.maps import Convolution, Diagonal, Heads, mapped
from gated.equations.projection import projected
from gated.equations.roles import Role, roles

INPUT = Role("matrix")
RECURRENT = Role("matrix", recurrent=True)
BIAS = Role("bias")


def test_the_lstm_has_input_matrices_recurrent_ones_and_biases():
    assert roles(gated.cell("lstm")) == {
        f"{letter}.{gate}": role
        for gate in "ifgo"
        for letter, role in {"W": INPUT, "U": RECURRENT, "b": BIAS}.items()
    }


@pytest.mark.parametrize("name", gated.cells())
def test_every_parameter_of_every_cell_has_a_role(name):
    cell = gated.cell(name)
    assert list(roles(cell)) == [parameter.key for parameter in cell.parameters]


@pytest.mark.parametrize("name", gated.cells())
def test_what_the_catalogue_calls_U_reads_states_and_what_it_calls_W_or_V_reads_inputs(name):
    """The letters are the catalogue's custom: roles are found without them."""
    for key, role in roles(gated.cell(name)).items():
        letter = key.partition(".")[0]
        if letter in ("U", "W", "V"):
            assert role.recurrent == (letter == "U"), key


def test_a_projection_and_what_reads_the_memory_are_recurrent():
    assert roles(gated.cell("lstmp"))["R"] == RECURRENT
    assert roles(projected(gated.cell("peephole")))["R"] == RECURRENT
    assert roles(gated.cell("t-lstm"))["W_d"] == RECURRENT
    assert roles(gated.cell("fgr"))["R.i2f"] == RECURRENT


def test_what_reads_an_imputed_input_reads_an_input_though_it_was_kept_in_a_state():
    """GRU-D's x̂ is x where it was seen, and decays from the x of an earlier step where not."""
    found = roles(gated.cell("gru-d"))
    assert found["W.z"] == INPUT
    assert found["V.z"] == INPUT  # of the mask
    assert found["U.z"] == RECURRENT


def test_a_map_of_recurrent_matrices_leaves_what_reads_an_imputed_input_alone():
    found = mapped(gated.cell("gru-d"), "diagonal").parameters
    shapes = {parameter.key: parameter.shape for parameter in found}
    assert shapes["U.z"] == ("H",)
    assert shapes["W.z"] == ("H", "D")


def test_what_a_gate_saw_of_an_input_does_not_make_its_operand_an_input():
    """U (r ⊙ h₋), r = σ(W x + ...)."""
    assert roles(gated.cell("gru-reset-before"))["U.n"] == RECURRENT
    assert roles(gated.cell("mut2"))["U.n"] == RECURRENT


def test_peepholes_are_vectors_that_read_the_memory():
    found = roles(gated.cell("peephole"))
    assert found["p.i"] == found["p.o"] == Role("vector", recurrent=True)


def test_gains_are_vectors():
    class Scaled(Cell):
        def step(self, x, h):
            h = tanh(Family("gain", start=1.0).x * (W @ x) + U @ h + b)
            return h

    assert roles(Scaled())["gain.x"] == Role("vector")


@pytest.mark.parametrize(
    ("maps", "kind"),
    [("diagonal", "diagonal"), (Heads(2), "heads"), (Convolution(3), "kernel")],
)
def test_a_map_changes_the_kind_of_what_it_maps(maps, kind):
    found = roles(mapped(gated.cell("peephole"), maps))
    assert found["U.f"] == Role(kind, recurrent=True)
    assert found["p.f"] == Role("vector", recurrent=True)
    assert found["W.f"] == (Role("kernel") if kind == "kernel" else INPUT)


def test_a_diagonal_may_read_the_input():
    class Bare(Cell):
        inputs = {"x": "H"}

        def step(self, x, h):
            h = tanh(W @ x + U @ h)
            return h

    assert roles(mapped(Bare(), {"W": Diagonal()}))["W"] == Role("diagonal")


def test_a_vector_in_the_place_of_u_is_a_diagonal_matrix():
    assert roles(gated.cell("indrnn"))["U"] == Role("diagonal", recurrent=True)


def test_a_map_makes_a_diagonal_matrix_of_any_family():
    class Own(Cell):
        def step(self, x, h):
            h = tanh(W @ x + Family("Z").z @ h + h * Family("q").q)
            return h

    found = roles(mapped(Own(), "diagonal"))
    assert found["Z.z"] == Role("diagonal", recurrent=True)
    assert found["q.q"] == Role("vector", recurrent=True)


def test_a_regulariser_changes_no_role():
    plain = gated.cell("lstm")
    for cell in (
        gated.zoneout(plain, 0.1),
        gated.recurrent_dropout(plain, 0.1),
        gated.variational_dropout(plain, 0.1),
        gated.dropconnect(plain, 0.1),
    ):
        assert roles(cell) == roles(plain)


def test_a_matrix_that_reads_both_is_recurrent_and_one_that_reads_neither_is_not():
    class Both(Cell):
        sizes = {"h": "D"}

        def step(self, x, h):
            h = tanh(W @ x + W @ sigmoid(h) + V @ mean(x) + h * p)
            return h

    found = roles(Both())
    assert found["W"].recurrent
    assert not found["V"].recurrent
