"""Maps meet the dense matrix: heads, diagonals and convolutions where they say the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from by_key import H, call, layer_of, random_inputs, random_states, random_values

import gated
from gated.equations.maps import mapped

RECURRENT = [name for name in gated.cells() if name not in ("indrnn", "minlstm", "mingru", "sru")]


def with_axes(name, maps, axes):
    """The parameters of a mapped cell that have a number of axes, by key."""
    return [p.key for p in mapped(gated.cell(name), maps).parameters if len(p.shape) == axes]


def block_diagonal(blocks):
    """One matrix of (heads, rows, columns), 0 beside the blocks."""
    heads, rows, columns = blocks.shape
    matrix = np.zeros((heads * rows, heads * columns))
    for n in range(heads):
        matrix[n * rows : (n + 1) * rows, n * columns : (n + 1) * columns] = blocks[n]
    return matrix


def results(name, values, maps=None):
    layer = layer_of(name, values, maps=maps)
    output, final, _ = call(layer, random_inputs(name), random_states(name))
    return {"output": output, **final}


def assert_same(found, wanted):
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("heads", [1, 2])
def test_heads_are_a_matrix_of_blocks(name, heads):
    maps = gated.Heads(heads)
    values, draw = random_values(name), np.random.default_rng(5)
    keys = with_axes(name, maps, 3)
    assert keys
    cut = {k: draw.normal(size=(heads, *(n // heads for n in values[k].shape))) for k in keys}
    dense = {k: block_diagonal(blocks) for k, blocks in cut.items()}
    assert_same(results(name, {**values, **cut}, maps), results(name, {**values, **dense}))


@pytest.mark.parametrize("name", [name for name in RECURRENT if name != "lstmp"])
def test_a_diagonal_is_a_matrix_with_zeros_beside_it(name):
    maps = "diagonal"
    values, draw = random_values(name), np.random.default_rng(6)
    before = with_axes(name, "dense", 2)
    keys = [key for key in with_axes(name, maps, 1) if key in before]
    assert keys
    vectors = {k: draw.normal(size=H) for k in keys}
    dense = {k: np.diag(vector) for k, vector in vectors.items()}
    assert_same(results(name, {**values, **vectors}, maps), results(name, {**values, **dense}))


def as_images(value, extent):
    """(..., B * pixels, n) to (..., B, n, *extent)."""
    *lead, _, units = value.shape
    return np.moveaxis(value.reshape(*lead, -1, *extent, units), -1, len(lead) + 1)


@pytest.mark.parametrize("name", gated.cells())
@pytest.mark.parametrize("extent", [(3,), (2, 3)])
def test_a_convolution_of_one_pixel_is_the_matrix_at_every_pixel(name, extent):
    pixels = int(np.prod(extent))
    maps = gated.Convolution((1,) * len(extent))
    values, states = random_values(name), random_states(name, batch=2 * pixels)
    inputs = random_inputs(name, steps=3, batch=2 * pixels)
    output, final, _ = call(layer_of(name, values), inputs, states)
    kernels = {
        k: values[k].reshape(*values[k].shape, *(1 for _ in extent))
        for k in with_axes(name, "dense", 2)
    }
    found, found_final, _ = call(
        layer_of(name, {**values, **kernels}, maps=maps),
        {k: as_images(v, extent) for k, v in inputs.items()},
        {k: as_images(v, extent) for k, v in states.items()},
    )
    assert_same({"output": found}, {"output": as_images(output, extent)})
    assert_same(found_final, {k: as_images(v, extent) for k, v in final.items()})


@pytest.mark.parametrize("name", ["lstm", "gru-reset-before", "t-lstm"])
def test_a_kernel_that_is_zero_but_in_the_middle_sees_one_pixel(name):
    values, inputs, states = _images_for(name)
    wide = {k: np.pad(v, [(0, 0)] * 2 + [(1, 1)] * 2) if v.ndim == 4 else v
            for k, v in values.items()}  # fmt: skip
    one, _, _ = call(layer_of(name, values, maps=gated.Convolution((1, 1))), inputs, states)
    three, _, _ = call(layer_of(name, wide, maps=gated.Convolution((3, 3))), inputs, states)
    np.testing.assert_allclose(three, one, rtol=0, atol=1e-12)


def _images_for(name):
    values = random_values(mapped(gated.cell(name), gated.Convolution((1, 1))))
    inputs = random_inputs(name, steps=3, batch=12)
    states = random_states(name, batch=12)
    return (
        values,
        {k: as_images(v, (2, 3)) for k, v in inputs.items()},
        {k: as_images(v, (2, 3)) for k, v in states.items()},
    )


def test_units_of_an_indrnn_see_only_themselves():
    values = random_values("indrnn")
    values |= {"U": np.abs(values["U"]), "b": np.full(H, 9.0)}  # all units are awake
    layer = layer_of("indrnn", values)
    h = torch.ones(1, 1, H, dtype=torch.float64)
    x = torch.from_numpy(random_inputs("indrnn", steps=3, batch=1)["x"])
    moved = torch.autograd.functional.jacobian(lambda h: layer(x, h)[1].flatten(), h)
    np.testing.assert_allclose(moved.reshape(H, H).numpy(), np.diag(values["U"] ** 3), rtol=1e-12)
