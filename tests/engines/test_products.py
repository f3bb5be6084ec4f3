"""What products mean in PyTorch: equal to dense matrices, and with bits that only a row decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gated.engines import products

DTYPES = [torch.float32, torch.float64]


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestBlocks:
    @pytest.mark.parametrize(("heads", "rows", "columns"), [(1, 5, 3), (2, 8, 8), (3, 1, 4)])
    def test_are_a_matrix_that_is_zero_beside_them(self, heads, rows, columns):
        matrix, v = random(heads, rows, columns), random(4, 2, heads * columns, seed=1)
        dense = torch.block_diag(*matrix)
        torch.testing.assert_close(products.blocks(matrix, v), functional.linear(v, dense))
        u = random(4, 2, heads * rows, seed=2)
        torch.testing.assert_close(products.blocks_t(matrix, u), functional.linear(u, dense.mT))

    def test_one_set_for_each_vector(self):
        matrix, v = random(4, 2, 3, 5), random(4, 10, seed=1)
        rows = [products.blocks(m, row) for m, row in zip(matrix, v, strict=True)]
        torch.testing.assert_close(products.blocks(matrix, v), torch.stack(rows))

    def test_outer_products_are_the_blocks_of_the_dense_one(self):
        matrix, a, b = random(2, 3, 4), random(5, 6, seed=1), random(5, 8, seed=2)
        found = products.blocks_outer(matrix, a, b)
        for row, x, y in zip(found, a, b, strict=True):
            dense = torch.outer(x, y)
            torch.testing.assert_close(row, torch.stack([dense[:3, :4], dense[3:, 4:]]))

    def test_no_rows_are_no_rows(self):
        assert products.blocks(random(2, 3, 4), random(0, 5, 8)).shape == (0, 5, 6)


class TestConvolve:
    @pytest.mark.parametrize("kernel", [(3,), (3, 5), (1, 3, 5)])
    def test_is_pytorchs_on_images_with_channels_first(self, kernel):
        extent = (4, 5, 9)[: len(kernel)]
        weight, v = random(6, 2, *kernel), random(3, 7, *extent, 2, seed=1)
        images = v.flatten(0, 1).movedim(-1, 1)
        operator = getattr(functional, f"conv{len(kernel)}d")
        expected = operator(images, weight, padding="same").movedim(1, -1).unflatten(0, (3, 7))
        torch.testing.assert_close(products.convolve(weight, v), expected)

    @pytest.mark.parametrize("extent", [(1, 1), (2, 3), (8, 8), (3, 17)])
    def test_keeps_the_extent_also_of_images_smaller_than_the_kernel(self, extent):
        weight, v = random(6, 2, 3, 5), random(7, *extent, 2)
        assert products.convolve(weight, v).shape == (7, *extent, 6)
        assert products.convolve_t(weight, random(7, *extent, 6)).shape == (7, *extent, 2)

    def test_a_place_sees_its_neighbours_and_zeros_beyond_the_edge(self):
        weight = torch.tensor([[[1.0, 10.0, 100.0]]], dtype=torch.float64)
        v = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
        found = products.convolve(weight, v).flatten().tolist()
        assert found == [10 + 200, 1 + 20 + 300, 2 + 30]

    @pytest.mark.parametrize("kernel", [(3,), (3, 5), (1, 3, 5)])
    def test_the_gradient_of_the_kernel_is_autograds_for_each_row(self, kernel):
        extent = (4, 5, 2)[: len(kernel)]
        weight = random(3, 2, *kernel).requires_grad_()
        v, g = random(5, *extent, 2, seed=1), random(5, *extent, 3, seed=2)
        found = products.convolve_outer(weight, g, v)
        for row, image, slope in zip(found, v, g, strict=True):
            (want,) = torch.autograd.grad(products.convolve(weight, image), weight, slope)
            torch.testing.assert_close(row, want)

    def test_no_rows_are_no_rows(self):
        assert products.convolve(random(6, 2, 3, 3), random(0, 4, 5, 2)).shape == (0, 4, 5, 6)


PRODUCTS = {
    "linear": (lambda m, v: products.linear(v, m), (13, 7), (7,)),
    "blocks 7": (products.blocks, (4, 7, 7), (28,)),
    "blocks 16": (products.blocks, (2, 16, 16), (32,)),
    "blocks 33": (products.blocks, (3, 33, 17), (51,)),
    "convolve 1": (products.convolve, (13, 7, 5), (13, 7)),
    "convolve 2": (products.convolve, (5, 3, 3, 5), (6, 5, 3)),
    "convolve 3": (products.convolve, (5, 3, 3, 3, 3), (3, 4, 3, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("batch", [5, 16, 31])
def test_the_order_of_rows_changes_no_bit(name, batch, dtype):
    product, matrix, units = PRODUCTS[name]
    weight, rows = random(*matrix, dtype=dtype), random(2, batch, *units, dtype=dtype, seed=1)
    order = torch.from_numpy(np.random.default_rng(2).permutation(batch))
    outcomes = []
    for given in (rows, rows[:, order]):
        given = given.clone().requires_grad_()
        result = product(weight, given)
        slope = random(*rows.shape[:2], *result.shape[2:], dtype=dtype, seed=3)
        slope = slope if not outcomes else slope[:, order]
        outcomes.append([result, *torch.autograd.grad(result, given, slope)])
    for first, second in zip(*outcomes, strict=True):
        assert torch.equal(first[:, order], second)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_strided_view_gives_the_bits_of_its_copy(name):
    product, matrix, units = PRODUCTS[name]
    weight, rows = random(*matrix), random(2 * units[0], 5, 2, *units[1:], seed=1)
    view = rows[::2].movedim(0, 2)
    assert not view.is_contiguous()
    assert torch.equal(product(weight, view), product(weight, view.contiguous()))


@pytest.mark.parametrize(
    ("product", "matrix", "units"),
    [
        (products.blocks, (2, 3, 2), (4,)),
        (products.blocks_t, (2, 2, 3), (4,)),
        (products.convolve, (2, 3, 3), (4, 3)),
        (products.convolve_t, (3, 2, 1, 3), (2, 4, 3)),
    ],
)
def test_both_orders_of_derivatives_agree_with_differences(product, matrix, units):
    weight, rows = random(*matrix).requires_grad_(), random(2, *units, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(product, (weight, rows))
    assert torch.autograd.gradgradcheck(product, (weight, rows))
