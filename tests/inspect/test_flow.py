"""What a flow chart shows, against the drawings of the textbooks, written down by hand."""

import pytest

import gated
from gated.equations import Cell, Family, U, W, b, exp, maximum, mean, sigmoid, tanh
from gated.equations.maps import Convolution, Heads, mapped
from gated.inspect.cell.flow import Flow
from gated.inspect.cell.reading import flow

V = Family("V")


def read(cell: str | type[Cell]) -> Flow:
    return flow(gated.cell(cell))


def called(found: Flow, id: str) -> str:
    """What a reader calls a vertex: its sign, or its name."""
    vertex = found.vertices[id]
    return vertex.label if vertex.kind in ("operation", "function") and not vertex.note else id


def arrows(found: Flow) -> list[tuple[str, str]]:
    """Every line as (from, to), joins left out: a line goes through them."""
    joins = {id for id, vertex in found.vertices.items() if vertex.kind == "join"}
    into: dict[str, list[str]] = {id: [] for id in joins}
    for line in found.lines:
        if line.target in joins:
            into[line.target].append(line.source)

    def starts(id: str) -> list[str]:
        return [far for near in into[id] for far in starts(near)] if id in joins else [id]

    return sorted(
        (called(found, start), called(found, line.target))
        for line in found.lines
        if line.target not in joins
        for start in starts(line.source)
    )


def kinds(found: Flow) -> dict[str, str]:
    """The boxes with weights, and what kind each is."""
    weighted = ("gate", "candidate", "linear")
    return {v.id: v.kind for v in found.vertices.values() if v.kind in weighted}


def test_the_lstm_is_drawn_as_in_the_textbooks():
    found = read("lstm")
    assert kinds(found) == {"i": "gate", "f": "gate", "g": "candidate", "o": "gate"}
    assert arrows(found) == sorted(
        [(source, gate) for source in ("x", "last.h") for gate in "ifgo"]
        + [("f", "×"), ("last.c", "×"), ("i", "×"), ("g", "×")]
        + [("×", "+"), ("×", "+"), ("+", "tanh"), ("+", "new.c")]
        + [("tanh", "×"), ("o", "×"), ("×", "new.h")]
    )


def test_what_the_lstm_keeps_runs_from_the_old_cell_state_to_the_new_one():
    found = read("lstm")
    memory = [(called(found, m.source), called(found, m.target)) for m in found.lines if m.memory]
    assert memory == [("last.c", "×"), ("×", "+"), ("+", "new.c")]


def test_the_gates_of_the_lstm_read_x_and_h_by_one_join():
    found = read("lstm")
    (join,) = [v.id for v in found.vertices.values() if v.kind == "join"]
    into = {m.source: m.weights for m in found.lines if m.target == join}
    assert into == {"x": ("W.i", "W.f", "W.g", "W.o"), "last.h": ("U.i", "U.f", "U.g", "U.o")}
    assert {m.target for m in found.lines if m.source == join} == set("ifgo")


def test_the_two_grus_differ_in_where_the_reset_acts():
    after, before = arrows(read("gru")), arrows(read("gru-reset-before"))
    assert ("last.h", "n.2") in after  # U h, before it meets r
    assert ("n.2", "×") in after
    assert ("last.h", "×") in before  # h itself meets r
    assert ("r", "×") in after
    assert ("r", "×") in before
    reset = next(m for m in read("gru-reset-before").lines if m.target == "n" and m.kind == "matrix"
                 and m.source != "x")  # fmt: skip
    assert reset.weights == ("U.n",)


def test_the_gru_takes_what_it_does_not_keep():
    found = read("gru")
    (rest,) = [v for v in found.vertices.values() if v.kind == "function"]
    assert rest.label == "1 − z"
    assert next(m.source for m in found.lines if m.memory) == "last.h"


def test_peepholes_are_vectors_and_the_output_gate_sees_the_new_state():
    found = read("peephole")
    peepholes = {(m.source, m.target, m.weights) for m in found.lines if m.kind == "vector"}
    new = next(m.source for m in found.lines if m.target == "new.c")
    assert peepholes == {
        ("last.c", "i", ("p.i",)),
        ("last.c", "f", ("p.f",)),
        (new, "o", ("p.o",)),
    }


def test_coupled_gates_are_drawn_as_what_one_leaves_the_other():
    vertex = read("cifg").vertices["f"]
    assert (vertex.kind, vertex.note) == ("function", "1 − i")


def test_without_a_gate_its_box_is_gone():
    assert "i" not in read("nig").vertices
    assert ("g", "+") in arrows(read("nig"))


def test_full_gate_recurrence_reads_every_gate_of_the_step_before():
    found = arrows(read("fgr"))
    for gate in "ifo":
        assert {s for s, t in found if t == gate} >= {"x", "last.h", "last.i", "last.f", "last.o"}
    assert {s for s, t in found if t == "g"} == {"x", "last.h"}


def test_long_equations_are_one_box_and_like_products_are_one():
    found = read("layernorm-lstm")
    assert found.vertices["a_i"].members == ("a_i", "a_f", "a_g", "a_o")
    assert found.vertices["s_a"].note == "sqrt mean"
    assert {s for s, t in arrows(found) if t == "f"} == {"a_i", "m_a", "s_a", "u_i", "m_u", "s_u"}


def test_the_state_that_a_cell_never_reads_does_not_enter():
    class Sums(Cell):
        def step(self, x, h, c):
            c = c + W @ x
            h = tanh(c)
            return h, c

    assert "last.h" not in read(Sums).vertices
    assert "last.c" in read(Sums).vertices


def test_a_difference_has_a_sum_and_a_sign():
    found = read("t-lstm")
    marks = {(m.source, m.mark) for m in found.lines if m.target == "c_star"}
    assert marks == {("last.c", ""), ("c_s", "−"), ("c_star.1", "")}


def test_functions_of_one_value_are_one_box():
    class Odd(Cell):
        def step(self, x, h):
            z = exp(-maximum(0, W.z @ x + b.z))
            s = 2 * z - 1
            h = tanh(s * h + V @ x)
            return h

    found = read(Odd)
    assert found.vertices["z"].note == "exp(−max(0, ·))"
    assert found.vertices["s"].note == "2 z − 1"
    assert found.vertices["h"].kind == "candidate"


def test_an_equation_without_weights_of_its_own_is_a_function():
    class Balanced(Cell):
        def step(self, x, h):
            a = W.a @ x + U.a @ h
            m = mean(a)
            h = sigmoid(a - m)
            return h

    found = read(Balanced)
    assert (found.vertices["a"].kind, found.vertices["m"].kind) == ("linear", "function")
    assert ("m", "+") in arrows(found)
    assert next(m.mark for m in found.lines if m.source == "m") == "−"


@pytest.mark.parametrize(
    ("maps", "kind", "mark"),
    [("diagonal", "diagonal", ""), (Heads(4), "heads", "4 heads"),
     (Convolution(3), "kernel", "∗ 3×3"), (Convolution((5,)), "kernel", "∗ 5")],
)  # fmt: skip
def test_a_map_shows_on_the_line_that_it_acts_on(maps, kind, mark):
    found = flow(mapped(gated.cell("lstm"), maps))
    line = next(m for m in found.lines if m.source == "last.h")
    assert (line.kind, line.mark) == (kind, mark)


@pytest.mark.parametrize("name", gated.cells())
def test_every_value_of_a_cell_is_there_and_leads_to_a_new_state(name):
    cell, found = gated.cell(name), read(name)
    shown = {n for v in found.vertices.values() for n in (v.name, *v.members)}
    assert shown - {""} == {*cell.graph.inputs, *cell.graph.equations}
    leads = {v.id for v in found.vertices.values() if v.kind == "new"}
    assert leads == {f"new.{state.name}" for state in cell.states}
    for _ in found.vertices:
        leads |= {m.source for m in found.lines if m.target in leads}
    assert leads == set(found.vertices)


@pytest.mark.parametrize("name", gated.cells())
def test_every_weight_but_the_biases_is_on_a_line_or_in_a_whole_box(name):
    cell, found = gated.cell(name), read(name)
    folded = {p.key for p in cell.parameters if p.symbol.family.bias}
    if name == "layernorm-lstm":  # its gains are inside boxes that stand for whole equations
        folded |= {p.key for p in cell.parameters if p.family in ("gain_x", "gain_h")}
    on_lines = {key for line in found.lines for key in line.weights}
    assert on_lines | folded == {p.key for p in cell.parameters}
