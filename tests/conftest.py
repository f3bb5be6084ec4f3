"""Fixtures that several rooms use."""

from pathlib import Path

import pytest
from hypothesis import settings

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
