"""What the explorer's page carries: maps of bytes, states to go on from, plain data."""

import json

import numpy as np
import pytest
from explorer_cases import INPUTS, STEPS, UNITS, small_case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gated.errors import ShapeError
from gated.inspect.explorer import Curve, ExplorerView, PlaceView
from gated.inspect.explorer.payload import payload
from gated.inspect.explorer.quantise import quantised
from gated.inspect.pages import write_whole

FINITE = st.floats(-1e6, 1e6, width=32)


def restored(found):
    codes = np.cumsum(found.codes, axis=1, dtype=np.uint8) if found.delta else found.codes
    span = (found.high - found.low).astype(np.float64)
    return (found.low[:, None] + codes / 255 * span[:, None]).T


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=FINITE))
def test_a_byte_is_within_half_a_level_of_the_value(values):
    found = quantised(values)
    span = (values.max(0).astype(np.float64) - values.min(0)) / 510
    assert (np.abs(restored(found) - values) <= span * (1 + 1e-3) + 1e-6 * np.abs(values)).all()


def test_slow_units_are_stored_as_differences_and_noise_is_not():
    t = np.arange(4000)
    slow = np.sin(t[:, None] / np.linspace(20, 90, 8))
    noise = np.random.default_rng(0).normal(size=(4000, 8))
    assert quantised(slow).delta
    assert not quantised(noise).delta


def test_values_that_are_not_finite_are_counted_and_drawn_as_the_nearest():
    values = np.array([[0.0], [np.inf], [-np.inf], [np.nan], [2.0]])
    found = quantised(values)
    assert found.wild == 3
    np.testing.assert_allclose(restored(found).ravel(), [0, 2, 0, 0, 2])


def test_a_unit_that_is_never_finite_is_drawn_as_0():
    found = quantised(np.full((3, 1), np.nan))
    assert restored(found).ravel().tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def case():
    return small_case()


@pytest.fixture(scope="module")
def found(case):
    return payload(case.view)


def test_the_document_is_json_without_nan(found):
    assert json.loads(json.dumps(found[0], allow_nan=False)) == found[0]


@pytest.mark.parametrize("place", range(4))
def test_stored_states_are_those_before_every_k_th_step_in_reading_order(case, found, place):
    content, arrays = found
    every = content["places"][place]["every"]
    layer, direction = divmod(place, 2)
    for state in ("h", "c"):
        values = case.trace[layer][direction][state]
        read = values[::-1] if direction else values
        stored = arrays[f"{place}.at.{state}"]
        assert stored.shape == (-(-STEPS // every), UNITS)
        assert (stored[0] == 0).all()
        np.testing.assert_array_equal(stored[1], read[every - 1])
        np.testing.assert_array_equal(stored[-1], read[every * (len(stored) - 1) - 1])


def test_wide_layers_store_states_more_often(found):
    wide = 512
    place = PlaceView("wide", small_case().view.places[0].cell, np.zeros((9, 1)),
                      {"h": np.zeros((9, 2)), "c": np.zeros((9, 2))},
                      {"h": np.zeros(2), "c": np.zeros(2)},
                      {f"U.{g}": np.zeros((wide, wide)) for g in "ifgo"})  # fmt: skip
    content, _ = payload(ExplorerView("t", np.arange(9), {}, [place]))
    assert 8 <= content["places"][0]["every"] < found[0]["places"][0]["every"]


def test_everything_of_a_place_is_carried(found):
    content, arrays = found
    place = content["places"][1]
    assert arrays["1.map.f"].shape == (UNITS, STEPS)
    assert arrays["1.x"].shape == (STEPS, INPUTS)
    assert [arrays[f"1.p.{key}"].shape for key in place["parameters"][:3]] == [
        (UNITS, INPUTS), (UNITS, UNITS), (UNITS,)
    ]  # fmt: skip
    assert arrays["1.saturation.f"].shape == (UNITS, 2)
    assert arrays["1.clamped.f = 1"].shape == (UNITS,)
    assert arrays["1.curve.2"].shape == (STEPS,)
    assert arrays["1.top.activity"].shape == (UNITS, 1, 5)
    assert place["whole"] == [["f = 1", 0.5]]


def test_times_become_milliseconds(case, found):
    np.testing.assert_array_equal(
        found[1]["time"].astype("datetime64[ms]"), case.view.time.astype("datetime64[ms]")
    )


def test_colours_of_a_state_reach_to_what_most_of_it_stays_within():
    cell = small_case().view.places[0].cell
    values = np.random.default_rng(0).uniform(-1, 1, (500, 50))
    values[3, 3] = 1000
    place = PlaceView("p", cell, np.zeros((500, 1)), {"h": values, "c": values},
                      {"h": np.zeros(50), "c": np.zeros(50)}, {})  # fmt: skip
    content, _ = payload(ExplorerView("t", np.arange(500), {}, [place]))
    shown = content["places"][0]["maps"][0]
    assert 0.9 < shown["reach"] <= 1
    assert shown["largest"] == 1000


def test_parts_that_do_not_fit_are_named():
    cell = small_case().view.places[0].cell
    fit = {"h": np.zeros((9, 2)), "c": np.zeros((9, 2))}
    start = {"h": np.zeros(2), "c": np.zeros(2)}
    with pytest.raises(ShapeError, match=r"layer 1: c has shape \(8, 2\), expected \(T=9, n\)"):
        PlaceView("layer 1", cell, np.zeros((9, 1)), {**fit, "c": np.zeros((8, 2))}, start, {})
    with pytest.raises(ShapeError, match=r"layer 1: total of c has shape \(8,\), expected \(9,\)"):
        PlaceView("layer 1", cell, np.zeros((9, 1)), fit, start, {},
                  curves=[Curve("c", "total", np.zeros(8))])  # fmt: skip
    place = PlaceView("layer 1", cell, np.zeros((9, 1)), fit, start, {})
    with pytest.raises(ShapeError, match="layer 1 has 9 steps, the time axis 10"):
        ExplorerView("t", np.arange(10), {}, [place])


def test_a_write_that_is_interrupted_leaves_the_old_page(tmp_path, monkeypatch, case):
    from gated.inspect import explorer

    path = tmp_path / "explorer.html"
    write_whole("old", path)
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        explorer.write(case.view, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
