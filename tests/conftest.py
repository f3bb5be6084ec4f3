"""Fixtures that several rooms use."""

from pathlib import Path

import pytest
from hypothesis import settings

from gated import engines

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


# where `auto` may compile kernels; elsewhere that would take longer than all else
COMPILING = (
    "cpu",
    "test_engine_choice.py",
    "test_compiled.py",
    "test_architecture.py",
    "test_docs.py",
)


@pytest.fixture(autouse=True)
def _engines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` may choose from."""
    place = request.path.relative_to(Path(__file__).parent)
    if not set(COMPILING).intersection(place.parts):
        monkeypatch.setenv("GATED_ENGINES", "torch")
        monkeypatch.setattr(engines, "AUTOMATIC", engines.allowed("torch"))
