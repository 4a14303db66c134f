"""The batch size of a rebuilt graph is free, except where the module itself counts samples."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from resnet_diffeo_probe.units import discover
from resnet_diffeo_probe.units.graph.functional import batch_size
from tests.units.rebuilt import assert_rebuilt


@pytest.mark.parametrize("taped", [1, 3])
def test_the_batch_size_is_free(randomized, taped: int) -> None:
    model = randomized(torchvision.models.resnet18()).eval()
    found = discover(model, torch.randn(taped, 3, 32, 32))
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 32, 32)
        output, activations = found.run(x)
        assert torch.equal(output, model(x))
        for unit in found.units:
            torch.testing.assert_close(
                unit.branch(activations[unit.name].input), activations[unit.name].branch
            )


def test_integers_of_the_batch_size_become_nodes(written, branch, x) -> None:
    def forward(m, x):
        token = m.token.expand(len(x), -1, -1, -1)
        y = torch.cat([token, x], 1).reshape(2 * x.shape[0], -1)
        return x + m.f(x + y.view(x.shape[0], 5, 6, 8)[:, 1:])

    model = written(forward, f=branch())
    model.token = nn.Parameter(torch.randn(1, 1, 6, 8))
    found = assert_rebuilt(model, x, torch.randn(1, 4, 6, 8), torch.randn(7, 4, 6, 8))
    assert any(node.target is batch_size for node in found.graph.graph.nodes)
    assert found.batch_is_free
    assert found.units[0].shortcut == "identity"


def test_windows_keep_their_units(written) -> None:
    """Inside, the first dimension counts windows, two for each sample: that is the branch's own business."""

    def forward(m, x):
        windows = x.view(x.shape[0] * 2, 4, 8)
        scores = torch.softmax(windows @ windows.transpose(1, 2), -1)
        return x + m.lin(scores @ windows).view(x.shape[0], 8, 8)

    model = written(forward, lin=nn.Linear(8, 8))
    found = assert_rebuilt(model, torch.randn(3, 8, 8), torch.randn(1, 8, 8))
    assert found.units[0].input_shape == (8, 8)
    y = torch.randn(4, 8, 8)
    assert torch.equal(found.units[0].sum_map(y), model(y))


def test_a_unit_of_windows_counts_windows(written) -> None:
    """The unit's batch is the windows, two for each sample; its branch expands a token to as many."""

    def forward(m, x):
        windows = x.reshape(x.shape[0] * 2, 4, 8)
        windows = windows + m.lin(windows + m.token.expand(x.shape[0] * 2, 4, 8))
        return windows.reshape(x.shape[0], 8, 8)

    model = written(forward, lin=nn.Linear(8, 8))
    model.token = nn.Parameter(torch.randn(1, 1, 8))
    found = assert_rebuilt(model, torch.randn(3, 8, 8), torch.randn(1, 8, 8))
    unit = found.units[0]
    windows = torch.randn(5, 4, 8)
    assert unit.input_shape == (4, 8)
    torch.testing.assert_close(unit.branch(windows), model.lin(windows + model.token))


def test_a_loop_over_samples_fixes_the_batch_size(written, branch, x) -> None:
    model = written(lambda m, x: x + m.f(torch.stack([sample * 2 for sample in x])), f=branch())
    found = discover(model, x)
    assert not found.batch_is_free
    assert "fixed at 2" in found.notes[0]
    assert torch.equal(found.graph(x), model(x))
