"""Kernels run in Triton's interpreter, on tensors of the CPU."""

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

# whether a function is for the interpreter is asked when it is decorated
os.environ["TRITON_INTERPRET"] = "1"
if find_spec("triton") is not None:
    import gated.engines.scan.kernels
    import gated.engines.triton.functions  # noqa: F401
del os.environ["TRITON_INTERPRET"]


@pytest.fixture(autouse=True, scope="module")
def _interpreted() -> Iterator[None]:
    pytest.importorskip("triton", reason="needs Triton: install the extra gated[triton]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        yield
