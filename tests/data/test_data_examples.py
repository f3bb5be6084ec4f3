"""The examples in the docstrings of the data room run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import gated.data

MODULES = [f"gated.data.{module.name}" for module in pkgutil.iter_modules(gated.data.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs={"np": __import__("numpy")}).failed == 0
