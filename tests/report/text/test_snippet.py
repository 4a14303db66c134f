"""The check that a reader copies from the page: it runs, whatever the names hold."""

import numpy as np
import pytest
import torch
from torch import nn

from resnet_diffeo_probe.report.text.snippet import snippet


class Block(nn.Module):
    """F(x) = −x: every pair of points has one image."""

    def __init__(self, activation):
        super().__init__()
        self.inner, self.activation = nn.ReLU(), activation

    def forward(self, x):
        return self.activation(x + (self.inner(-x) - self.inner(x)))


@pytest.mark.parametrize("name", ["block", "it's", 'a"b', "{0}", "line\nend", "名前", "\\N"])
@pytest.mark.parametrize(
    ("which", "activation", "module"),
    [
        ("sum", "relu", nn.ReLU()),
        ("sum", "relu", nn.ReLU(inplace=True)),
        ("sum", "relu6", nn.ReLU6()),
        ("sum", "leaky_relu", nn.LeakyReLU()),
        ("sum", None, nn.Identity()),
        ("unit", "relu", nn.ReLU()),
    ],
)
def test_the_snippet_runs_and_checks_the_pair(tmp_path, monkeypatch, name, which, activation, module):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "witnesses").mkdir()
    file = "pair of {unit!a}'s.npz"
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "witnesses" / file, x1=rng.normal(size=(1, 3, 2, 2)), x2=rng.normal(size=(1, 3, 2, 2))
    )
    model = nn.Module()
    model.add_module(name, Block(module))
    lines = snippet(name, which, file, activation)
    assert lines.isascii()
    exec(lines, {"model": model})  # noqa: S102


def test_the_snippet_refuses_what_is_no_pair(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "witnesses").mkdir()
    points = np.random.default_rng(0).normal(size=(2, 1, 3, 2, 2))
    np.savez(tmp_path / "witnesses" / "pair.npz", x1=points[0], x2=points[1])
    model = nn.Module()
    model.add_module("block", nn.Softplus())
    for which in ("sum", "unit"):
        with pytest.raises(AssertionError):
            exec(snippet("block", which, "pair.npz", None), {"model": model})  # noqa: S102
    assert torch.is_grad_enabled()
