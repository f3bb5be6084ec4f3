"""Kernels run in Triton's interpreter, on tensors of the CPU."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _interpreted() -> Iterator[None]:
    pytest.importorskip("triton", reason="needs Triton: install the extra gated[triton]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        yield
