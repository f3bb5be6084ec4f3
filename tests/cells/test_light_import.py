"""Cells and equations are there without PyTorch, and `import gated` costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("statement", [
    "import gated",
    "import gated.equations",
    "import gated.cells",
    "import gated; gated.cell('lstm').latex()",
    "import gated; [gated.cell(name).kept for name in gated.cells()]",
    "import gated, gated.equations; gated.equations.backward(gated.cell('gru').graph)",
])  # fmt: skip
def test_loads_nothing_but_itself_and_the_standard_library(statement):
    packages = {module.split(".")[0] for module in loaded_by(statement)}
    assert packages - set(sys.stdlib_module_names) == {"gated"}


def test_loads_few_modules():
    loaded = loaded_by("import gated")
    own = {module for module in loaded if module.startswith("gated")}
    assert {module.split(".")[1] for module in own if "." in module} == {
        "cells", "equations", "errors",
    }  # fmt: skip
    assert len(loaded) < 100


def test_the_layers_load_pytorch_when_first_asked_for():
    assert "torch" in loaded_by("import gated; gated.LSTM")


def test_a_name_that_gated_does_not_have_is_an_attribute_error():
    import gated

    with pytest.raises(AttributeError, match="no attribute 'LSTN'"):
        _ = gated.LSTN


def test_every_public_name_is_there():
    import gated

    assert all(hasattr(gated, name) for name in gated.__all__)
