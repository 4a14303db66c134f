"""What an interval and an error claim: one rule, and every producer under it."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import resnet_diffeo_probe
from resnet_diffeo_probe.finding import ErrorKind, Evidence, Finding, IntervalKind, Status
from resnet_diffeo_probe.jacobian import QUANTITIES, UnitJacobian, determinant, measure
from resnet_diffeo_probe.jacobian.estimators import half_logdet_by_lanczos, logdet_by_power_series
from resnet_diffeo_probe.jacobian.measures.rectangular import findings_of_matrix, rectangular_measures
from resnet_diffeo_probe.units import discover
from tests.jacobian.estimators.known_matrices import matrix_map

PACKAGE = Path(resnet_diffeo_probe.__file__).parent
#: Where findings with an interval are made, and of which kind. A new place is entered here with a test of its kind.
INTERVALS = {
    "jacobian/estimators/lanczos_quadrature.py": IntervalKind.CONFIDENCE,
    "jacobian/estimators/power_series.py": IntervalKind.CONFIDENCE,
    "jacobian/measures/by_products.py": IntervalKind.CONFIDENCE,
    "jacobian/measures/determinant.py": IntervalKind.ROUNDING,
    "jacobian/measures/rectangular.py": IntervalKind.TOLERANCE,
}
READ_BACK = "analysis/result/finding_row.py"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(torch.relu(self.first(x)))


def calls_with(keyword: str) -> set[str]:
    """Return the files of the package in which a `Finding` is made with it."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Finding"
                and any(k.arg == keyword for k in node.keywords)
            ):
                found.add(path.relative_to(PACKAGE).as_posix())
    return found


def test_the_places_that_make_intervals_are_known() -> None:
    assert calls_with("interval") == {*INTERVALS, READ_BACK}


@pytest.mark.parametrize(
    ("evidence", "seed", "kind"),
    [
        (Evidence.CERTIFIED, None, IntervalKind.PROVEN),
        (Evidence.CERTIFIED, 0, IntervalKind.PROVEN),
        (Evidence.ESTIMATED, 0, IntervalKind.CONFIDENCE),
        (Evidence.EXACT, 0, IntervalKind.ROUNDING),
        (Evidence.EXACT, None, IntervalKind.TOLERANCE),
    ],
)
def test_the_kind_follows_from_how_a_value_is_known(evidence, seed, kind) -> None:
    found = Finding(1.0, evidence, error=0.1, interval=(0.5, 2.0), seed=seed)
    assert found.interval_kind is kind
    assert found.error_kind is (ErrorKind.BOUND if evidence is Evidence.CERTIFIED else ErrorKind.ESTIMATE)


def test_without_one_there_is_no_kind_and_a_row_is_as_it_was() -> None:
    assert Finding(1.0).interval_kind is None
    assert Finding(1.0).error_kind is None
    row = Finding(1.0, error=0.1, interval=(0.5, 2.0), seed=3).to_json()
    assert set(row) == {"value", "evidence", "status", "error", "seed", "interval"}


def test_an_exact_determinant_has_an_interval_of_rounding() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 5, 4)
    (unit,) = discover(nn.Sequential(Block()), x).to(dtype=torch.float64).units
    lin = UnitJacobian(unit).at(x.double())
    assert determinant(lin).logabsdet.interval_kind is IntervalKind.ROUNDING
    found = measure(UnitJacobian(unit), x.double(), QUANTITIES)
    exact = {name for name, f in found.items() if f.interval is not None and f.evidence is Evidence.EXACT}
    assert exact == {"logabsdet"}
    # nothing that is measured has a proof behind its interval or its error
    assert {f.interval_kind for f in found.values()} <= {None, IntervalKind.ROUNDING, IntervalKind.CONFIDENCE}
    assert {f.error_kind for f in found.values()} <= {None, ErrorKind.ESTIMATE}


def test_estimates_have_confidence_intervals() -> None:
    matrix = np.random.default_rng(0).standard_normal((40, 40)) * 0.05
    for found in (
        half_logdet_by_lanczos(matrix_map(np.eye(40) + matrix), probes=6, max_steps=20),
        logdet_by_power_series(matrix_map(matrix), probes=6),
    ):
        assert found.interval_kind is IntervalKind.CONFIDENCE

    weight = torch.randn(60, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = rectangular_measures(lambda v: v @ weight, torch.randn(1, 60, dtype=torch.float64), max_dense=10)
    for quantity in ("sigma_min", "sigma_max", "half_logdet"):
        assert found[quantity].interval_kind is IntervalKind.CONFIDENCE


def test_a_rank_that_is_not_determined_has_a_rule_and_no_proof() -> None:
    sigma = torch.tensor([1.0, 0.5, 2e-15, 0], dtype=torch.float64)
    rank = findings_of_matrix(torch.diag(sigma), eps=float(np.finfo(np.float64).eps))["rank"]
    assert rank.status is Status.UNDETERMINED
    assert rank.interval_kind is IntervalKind.TOLERANCE
