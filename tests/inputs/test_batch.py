"""Accuracy is only counted where class folders and outputs can be compared."""

from __future__ import annotations

import pytest
import torch

from resnet_diffeo_probe.inputs import Inputs, Preprocessing, accuracy


def inputs(labels, classes) -> Inputs:
    count = len(labels) if labels else 2
    names = tuple(map(str, range(count)))
    x = torch.zeros(count, 1, 2, 2)
    return Inputs(x, names, labels, classes, (), "images", "folder", Preprocessing(), 0)


def test_index_is_the_place_among_the_sorted_folders():
    batch = inputs(("b", "a", "c", "b"), ("a", "b", "c"))
    assert accuracy(torch.eye(3)[[1, 0, 2, 0]], batch, 3) == (3, 4)


def test_not_applicable():
    assert accuracy(torch.zeros(2, 3), inputs(None, None), 3) is None
    assert accuracy(torch.zeros(2, 3), inputs(("a", "b"), ("a", "b")), 3) is None
    assert accuracy(torch.zeros(2, 3), inputs(("a", "b"), ("a", "b")), None) is None


@pytest.mark.parametrize("shape", [(3, 2), (2, 5), (2,)])
def test_wrong_logits(shape):
    with pytest.raises(ValueError, match="logits"):
        accuracy(torch.zeros(shape), inputs(("a", "b"), ("a", "b")), 2)
