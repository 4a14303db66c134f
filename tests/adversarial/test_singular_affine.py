"""An affine map with a singular matrix is not injective, and one with a regular matrix is not said to be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import resnet_diffeo_probe as rdp


class Res(nn.Module):
    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def _state(matrix: Tensor, *, bends: bool = False) -> str:
    linear = nn.Linear(len(matrix), len(matrix), bias=False)
    linear.weight.data = matrix - torch.eye(len(matrix))
    branch = nn.Sequential(nn.ReLU(), linear) if bends else linear
    x = torch.randn(3, len(matrix), generator=torch.Generator().manual_seed(1)).abs()
    (verdict,) = rdp.analyze(nn.Sequential(Res(branch)).eval(), x, budget="quick").verdicts.values()
    return str(verdict["state"])


@pytest.mark.parametrize("seed", range(20))
def test_a_singular_integer_matrix_is_proven_and_its_neighbour_is_not(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randint(-3, 4, (4, 4), generator=generator).float()
    matrix[3] = matrix[0] + matrix[1] - matrix[2]
    assert _state(matrix) == "not_injective_proven"
    # the same matrix behind a ReLU: singular on one orthant, and a statement on all of Rⁿ needs more
    assert _state(matrix, bends=True) != "not_injective_proven"
    regular = matrix + torch.diag(torch.tensor([0.0, 0.0, 0.0, 2.0**-8]))
    if float(torch.linalg.det(regular.double()).abs()) > 1e-6:
        assert _state(regular) != "not_injective_proven"
