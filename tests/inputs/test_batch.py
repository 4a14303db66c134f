"""Accuracy is only counted where class folders and outputs can be compared."""

from __future__ import annotations

import pytest
import torch

from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows, accuracy


def inputs(labels, classes) -> Inputs:
    count = len(labels) if labels else 2
    names = tuple(map(str, range(count)))
    x = torch.zeros(count, 1, 2, 2)
    return Inputs(TensorRows(x), names, labels, classes, (), "images", "folder", Preprocessing(), 0)


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


def test_parts(tmp_path):
    x = torch.arange(60.0).reshape(5, 3, 2, 2)
    batch = Inputs(TensorRows(x), tuple("abcde"), None, None, (), "tensor", "memory", Preprocessing(), 0)
    assert (len(batch), batch.shape) == (5, (3, 2, 2))
    assert torch.equal(batch.part(1, 4), x[1:4])
    assert batch.part(2, 2).shape == (0, 3, 2, 2)
    assert torch.equal(batch.tensor, x)
    for start, stop in [(-1, 2), (0, 6), (3, 2)]:
        with pytest.raises(IndexError):
            batch.part(start, stop)
