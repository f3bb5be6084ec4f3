"""Tests that need a GPU: skipped where there is none, the telling ones first where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# before CUDA starts: products of matrices repeat bit for bit on several streams as well
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import pytest
import torch

DEVICE = os.environ.get("GATED_TEST_DEVICE", "cuda")
HERE = Path(__file__).parent
# what takes a second and says most comes first
ORDER = ["first", "functions", "numbers", "calls", "memory", "catalogue", "sizes", "programs"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [k for k, item in enumerate(items) if HERE in item.path.parents]
    own = [items[k] for k in places]
    own.sort(key=lambda item: ORDER.index(item.path.stem.removeprefix("test_gpu_")))
    for place, item in zip(places, own, strict=True):
        items[place] = item


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # among all tests Triton's own functions are made for its interpreter, see tests/conftest.py
    alone = item.config.rootpath == HERE
    if not alone or (DEVICE == "cuda" and not torch.cuda.is_available()):
        pytest.skip("needs a CUDA device: run `make test-gpu` on a machine that has one")


@pytest.fixture(autouse=True)
def _alike() -> Iterator[None]:
    """Equal random numbers and settings for each test; what a kernel did wrong shows in its own."""
    torch.manual_seed(0)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(precision)
    if DEVICE == "cuda":
        torch.cuda.synchronize()
