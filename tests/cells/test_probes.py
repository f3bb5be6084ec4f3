"""Probed and clamped cells: what their equations say, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from by_key import call, layer_of, random_inputs, random_values

import gated
from gated.cells.probes import clamped, probed
from gated.cells.regularisers import zoneout
from gated.equations.maps import mapped
from gated.errors import OptionError


def lines(cell):
    return dict(line.replace(" ", "").split("=", 1) for line in str(cell).splitlines())


@pytest.mark.parametrize("name", gated.cells())
@pytest.mark.parametrize("wrap", [probed, clamped])
def test_every_cell_keeps_its_names_states_parameters_and_memory(wrap, name):
    cell = gated.cell(name)
    new = wrap(cell, tuple(cell.graph.equations))
    assert list(new.graph.equations) == list(cell.graph.equations)
    assert new.states == cell.states
    assert new.parameters == cell.parameters
    assert new.stored is cell.stored
    assert set(new.kept) == set(cell.kept)
    assert list(new.graph.inputs)[: len(cell.graph.inputs)] == list(cell.graph.inputs)


@pytest.mark.parametrize("name", gated.cells())
def test_a_cell_with_empty_probes_and_no_clamp_computes_what_it_did(name):
    cell, values, inputs = gated.cell(name), random_values(name), random_inputs(name)
    state = cell.states[0].name
    output = call(layer_of(cell, values, engine="reference"), inputs)[0]
    further = {f"probe_{state}": 0 * output, f"keep_{state}": 0 * output + 1}
    further[f"fixed_{state}"] = np.full_like(output, np.nan)
    changed = layer_of(clamped(probed(cell, state), state), values, engine="reference")
    np.testing.assert_array_equal(call(changed, {**inputs, **further})[0], output)


def test_a_probe_is_seen_by_all_that_reads_the_value():
    found = lines(probed("lstm", "c"))
    assert found["c"] == "f⊙c₋+i⊙g+probe_c"
    assert found["h"] == "o⊙tanh(c)"


def test_probes_and_clamps_combine_with_each_other_and_with_regularisers_and_maps():
    cell = mapped(probed(clamped(zoneout("lstm", c=0.5), "c"), ["f", "c"]), "diagonal")
    assert list(cell.graph.inputs) == ["x", "keep_c", "fixed_c", "probe_f", "probe_c"]
    assert "zoneout_c" in cell.training.graph.inputs
    assert lines(cell)["c"].startswith("select(keep_c,")
    assert lines(cell)["c"].endswith("+probe_c")


def test_they_are_made_once_and_can_be_pickled():
    cell = probed("gru", ("h", "z"))
    assert probed("gru", ["h", "z"]) is cell
    assert str(pickle.loads(pickle.dumps(cell))) == str(cell)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: probed("lstm", "C"), "lstm has no equation 'C': did you mean 'c'?"),
        (lambda: clamped("gru", ["f"]), "its states are h, its gates r, z, n"),
        (lambda: probed("lstm", ()), "probed: no name is given"),
        (lambda: probed(probed("lstm", "c"), "c"), "lstm has a symbol probe_c already"),
        (lambda: clamped(clamped("lstm", "f"), ("i", "f")), "has a symbol keep_f already"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(make, complaint):
    with pytest.raises(OptionError) as error:
        make()
    assert complaint in str(error.value)
