"""The examples in the docstrings of methods and samplers give the output that is printed below them."""

import doctest
import importlib

import numpy as np
import pytest

from ropewalk import methods, positions
from ropewalk.method import METHODS
from ropewalk.sampler import SAMPLERS

MODULES = sorted({cls.__module__ for cls in (*METHODS.values(), *SAMPLERS.values())})


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_are_true(module):
    result = doctest.testmod(importlib.import_module(module), extraglobs={"np": np})
    assert result.attempted >= 2
    assert result.failed == 0


def test_names_and_files_are_as_many():
    assert len(MODULES) == len(methods.names()) + len(positions.names())
