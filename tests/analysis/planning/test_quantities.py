from __future__ import annotations

from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES, Budget, quantities_of


def test_budgets_nest_and_the_full_one_holds_everything() -> None:
    quick, standard, full = (quantities_of(budget) for budget in (Budget.QUICK, Budget.STANDARD, Budget.FULL))
    assert set(quick) < set(standard) < set(full)
    assert full == QUANTITIES
    assert "sign" in quick
