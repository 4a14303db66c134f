"""A result to be changed."""

import copy

import pytest

from .small_result import SMALL


@pytest.fixture
def small():
    return copy.deepcopy(SMALL)
