"""The operations on tiles, against PyTorch and against wider numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("triton")

from gated.engines.triton.launch import REALS, kernels, launch
from gated.engines.triton.spelling import TRITON, Names, indented
from gated.engines.triton.tile import Tile
from gated.equations.ops import OPS
from gated.equations.symbols import Node, apply, leaf

KERNEL = """
@triton.jit
def apply(p0, p1, p2, out, COUNT: tl.constexpr, SIZE_0: tl.constexpr, BLOCK_0: tl.constexpr,
          REAL: tl.constexpr):
    r = tl.program_id(0) * 8 + tl.arange(0, 8)[:, None]
    here = r < COUNT
    u0 = tl.arange(0, BLOCK_0)[None, :]
    m0 = u0 < SIZE_0
"""
# written elsewhere: products with matrices, and layer normalisation, which loops write out
NOT_POINTWISE = {op for op, row in OPS.items() if row.shape not in ("elementwise", "reduce")} | {
    "normalize"
}
POINTWISE = sorted(set(OPS) - NOT_POINTWISE)
TYPES = {"float32": torch.float32, "float64": torch.float64}
both = pytest.mark.parametrize("real", list(TYPES))


def computed(op: str, *values: torch.Tensor) -> torch.Tensor:
    """An operation on tensors (rows, units), which become leaves of a graph."""
    leaves = [leaf("input", f"x{k}", "H") for k in range(len(values))]
    return evaluated(apply(op, *leaves), leaves, values)


def evaluated(node: Node, leaves: list[Node], values: tuple[torch.Tensor, ...]) -> torch.Tensor:
    tile = Tile(Names())
    reads = {one: tile.load(f"p{k} + r * SIZE_0", "H") for k, one in enumerate(leaves)}
    reduced = OPS[node.op].shape == "reduce"
    writes = {node: ["out + r" if reduced else "out + r * SIZE_0"]}
    text = KERNEL + "\n".join(indented(tile.work(nodes_of(node), reads, writes)))
    rows, units = values[0].shape
    out = values[0].new_full((rows, 1 if reduced else units), float("nan"))
    constants = {"COUNT": rows, "SIZE_0": units, "BLOCK_0": 1 << (units - 1).bit_length()}
    given = [*values, *[values[0]] * (3 - len(values)), out]
    (real,) = (REALS[name] for name, kind in TYPES.items() if kind is out.dtype)
    launch(kernels(text)["apply"], (-(-rows // 8),), out.device, given, {**constants, "REAL": real})
    return out


def nodes_of(node: Node) -> list[Node]:
    inner = [one for arg in node.args for one in nodes_of(arg)]
    return [*inner, node] if node.args else inner


def expected(op: str, *values: torch.Tensor) -> torch.Tensor:
    text = OPS[op].torch.format(*(f"v[{k}]" for k in range(len(values))))
    found: torch.Tensor = eval(text, {"torch": torch, "v": values, "sigmoid": torch.sigmoid})
    return found


def points(real: str) -> torch.Tensor:
    """Near 0, where functions bend, and on to where results are 0, 1 or infinite."""
    rng = np.random.default_rng(0)
    spread = [rng.uniform(-s, s, 2048) for s in (1e-6, 1e-2, 0.3, 0.7, 1, 2, 5, 20, 88)]
    edges = [0, -0.0, -44.4, 44.4, 0.625, -0.625, 1e30, -1e30, 1e-30, 1e-40, -1e-40, 1e-45]
    x = np.concatenate([*spread, np.linspace(-87, 87, 4084), edges])
    return torch.from_numpy(x).to(TYPES[real]).reshape(32, -1)


def test_every_operation_on_units_has_an_entry() -> None:
    assert set(TRITON) | {"ones", "sum", "mean"} == set(POINTWISE)


@both
@pytest.mark.parametrize("op", sorted(set(POINTWISE) - {"ones"}))
def test_an_operation_equals_that_of_pytorch(op: str, real: str) -> None:
    torch.manual_seed(0)
    values = [torch.randn(13, 21, dtype=TYPES[real]) for _ in range(OPS[op].arity)]
    values[0][0, :3] = torch.tensor([0.0, -0.0, 1.0])
    values[-1][1] = values[0][1]  # a tie
    if op in ("log", "sqrt"):
        values = [value.abs() for value in values]
    got = computed(op, *values)
    assert not got.isnan().any()
    unit = torch.finfo(TYPES[real]).eps
    # terms of a sum cancel
    atol = 16 * unit if OPS[op].shape == "reduce" else 0
    torch.testing.assert_close(got, expected(op, *values), rtol=4 * unit, atol=atol)


@both
@pytest.mark.parametrize("op", ["exp", "tanh", "sigmoid", "softplus", "log", "sqrt"])
def test_functions_are_near_in_units_in_the_last_place(op: str, real: str) -> None:
    if real == "float64" and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("no number here is wider than float64")
    x = points(real)
    if op in ("log", "sqrt"):
        x = x.abs().where(x != 0, 1)
    wide = x.numpy().astype(np.longdouble)
    with np.errstate(all="ignore"):
        exact = {
            "exp": np.exp,
            "tanh": np.tanh,
            "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
            "softplus": lambda v: np.maximum(v, 0) + np.log1p(np.exp(-np.abs(v))),
            "log": np.log,
            "sqrt": np.sqrt,
        }[op](wide)
        got = computed(op, x).numpy()
        rounded = exact.astype(got.dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite])
    unit = np.spacing(np.abs(rounded[finite])).astype(np.longdouble)
    error = np.abs(got[finite] - exact[finite]) / unit
    worst = int(error.argmax())
    # NumPy's exp2 of float32, which the interpreter takes, is off by more than half a unit
    most = 3 if real == "float32" and op in ("exp", "sigmoid", "softplus") else 2
    assert error[worst] <= most, (
        f"{op}({x.numpy()[finite][worst]!r}): {float(error[worst]):.2f} units"
    )


@both
@pytest.mark.parametrize("op", ["exp", "tanh", "sigmoid", "softplus", "relu", "abs"])
def test_no_finite_input_gives_nan_and_a_nan_stays_one(op: str, real: str) -> None:
    info = torch.finfo(TYPES[real])
    x = torch.tensor([[info.max, -info.max, info.tiny, torch.inf, -torch.inf, torch.nan]])
    got = computed(op, x.to(TYPES[real]))
    assert not got[:, :-1].isnan().any()
    assert got[:, -1].isnan().all()


@both
@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_the_larger_and_the_smaller_let_a_nan_through(op: str, real: str) -> None:
    x = torch.tensor([[1, torch.nan, 2, -torch.inf]], dtype=TYPES[real])
    z = torch.tensor([[torch.nan, 1, 1, 5]], dtype=TYPES[real])
    torch.testing.assert_close(computed(op, x, z), expected(op, x, z), equal_nan=True)


def test_numbers_of_equations_are_exact_in_float64() -> None:
    x = torch.linspace(-1, 1, 8, dtype=torch.float64)[None]
    held = leaf("input", "x", "H")
    for op, other in (("maximum", 0.1), ("mul", 0.1), ("sub", -1e-300), ("minimum", torch.inf)):
        got = evaluated(apply(op, held, other), [held], (x,))
        wanted = expected(op, x, torch.full_like(x, other))
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_numbers_may_take_the_place_of_values() -> None:
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    held = leaf("input", "x", "H")
    got = evaluated(apply("select", held, 3.0, apply("abs", held)), [held], (x,))
    assert got.tolist() == [[1, 0, 3]]


def test_a_sum_counts_units_of_what_is_the_same_everywhere() -> None:
    x = torch.randn(5, 6)
    held = leaf("input", "x", "H")
    mean = apply("mean", held)
    whole = apply("sum", apply("mul", mean, apply("ones", held)))
    got = evaluated(whole, [held], (x,))
    torch.testing.assert_close(got, 6 * x.mean(-1, keepdim=True))
    assert evaluated(apply("sum", apply("ones", held)), [held], (x,)).tolist() == [[6.0]] * 5
