"""The names of `gated.inspect.measures`: all there, and what is heavy only when it is asked for."""

import json
import subprocess
import sys

import pytest

from gated.inspect import measures


@pytest.mark.parametrize("name", measures.__all__)
def test_a_name_is_a_function_or_a_class(name):
    assert callable(getattr(measures, name))


def test_measures_on_arrays_load_neither_pytorch_nor_scipy():
    script = (
        "import json, sys; from gated.inspect.measures import half_life, saturation, correlation; "
        "half_life([[0.5]]); print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(run.stdout)}
    assert "numpy" in loaded
    assert not {"torch", "scipy", "pandas", "captum"} & loaded


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'half_live'"):
        _ = measures.half_live
