"""Fixtures that several rooms use."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# before PyTorch is loaded: workers stand beside each other, and idle threads that spin take the
# time that the other worker needs; what threads change is tested in processes that say how many
os.environ["OMP_NUM_THREADS"] = "1"
# PyTorch's compiler would start a pool of processes, each of which loads PyTorch
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
# what `auto` may take: compiling kernels takes longer than all else, see COMPILING
os.environ["GATED_ENGINES"] = "torch"
# Triton's functions and ours are made for its interpreter or for a GPU when they are loaded, which
# any package or test may do: for tests, the former; where they run is said in tests/engines/triton
os.environ["TRITON_INTERPRET"] = "1"
if find_spec("triton") is not None:
    import gated.engines.scan.kernels
    import gated.engines.triton.functions  # noqa: F401
del os.environ["TRITON_INTERPRET"]

import pytest
from hypothesis import settings

import browsers
from gated import engines

# a shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes says something about the machine, nothing about the law
settings.register_profile("gated", deadline=None)
settings.load_profile("gated")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the project; tests that need it are skipped without."""
    if not SHARED.is_dir():
        pytest.skip("needs the real data sets in ../shared/data")
    return SHARED


# where `auto` may compile kernels
COMPILING = (
    "cpu",
    "test_engine_choice.py",
    "test_compiled.py",
    "test_architecture.py",
    "test_own_cell.py",
)


@pytest.fixture(autouse=True, scope="module")
def _engines(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `auto` may choose from."""
    place = request.path.relative_to(Path(__file__).parent)
    with pytest.MonkeyPatch.context() as patch:
        if set(COMPILING).intersection(place.parts):
            patch.delenv("GATED_ENGINES")
            patch.setattr(engines, "AUTOMATIC", engines.allowed(None))
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with browsers.launched() as found:
        yield found
