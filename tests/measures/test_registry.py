"""The records agree with each other and with the functions that they name."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_diffeo_probe.measures
from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES
from resnet_diffeo_probe.bijectivity.inverse.inverse_consistency import INVERSE_QUANTITIES
from resnet_diffeo_probe.bijectivity.proofs import PROOF_QUANTITIES, RADIUS_QUANTITIES
from resnet_diffeo_probe.jacobian.measures.by_products import PRODUCT_QUANTITIES
from resnet_diffeo_probe.measures.record.limit import Limit
from resnet_diffeo_probe.measures.record.measure import Cost, Measure, Of
from resnet_diffeo_probe.measures.registry import (
    CHARTS,
    CRITERIA,
    LIMITS,
    MEASURES,
    METHODS,
    SHOWN,
    function_of,
    keys_of,
)

ROOM = Path(resnet_diffeo_probe.measures.__file__).parent


def test_every_record_of_the_room_is_registered_once():
    defined = []
    for path in ROOM.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Measure("):
                defined.append(f"{path.stem}.{ast.unparse(node.targets[0])}")
    assert len(defined) == len(MEASURES) == len({measure.key for measure in MEASURES})
    listed = ast.parse((ROOM / "registry.py").read_text(encoding="utf-8")).body
    (line,) = (
        node for node in listed if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "MEASURES"
    )
    assert sorted(ast.unparse(entry) for entry in line.value.elts) == sorted(defined)


@pytest.mark.parametrize("measure", [m for m in MEASURES if m.of is not Of.NOTHING], ids=lambda m: m.key)
def test_every_measure_is_computed_by_a_function_that_says_its_name(measure):
    """Of a Jacobian that changes the dimension, the name among the products."""
    function = function_of(measure.function)
    room = Path(sys.modules[function.__module__].__file__).parent
    texts = [
        node.value
        for path in room.parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    ]
    assert (measure.products if measure.of is Of.RECTANGULAR else measure.key) in texts


def test_the_rooms_that_measure_find_what_the_records_say():
    assert (*INVERSE_QUANTITIES, *RADIUS_QUANTITIES) == PROOF_QUANTITIES
    assert {m.products for m in MEASURES if m.of is Of.RECTANGULAR} == set(PRODUCT_QUANTITIES)
    assert tuple(m.key for m in MEASURES if m.of is not Of.NOTHING) == QUANTITIES
    # `measure` keeps no factors for more than solves
    assert not keys_of(Of.PASS, Of.JACOBIAN, Of.RECTANGULAR, cost=[Cost.ELIMINATIONS])


def test_what_stands_together_stands_once_and_is_all_there():
    assert set(SHOWN) == set(MEASURES)
    for found, every in (
        (CRITERIA, [m.criterion for m in MEASURES if m.criterion]),
        (METHODS, [m.method for m in MEASURES if m.method]),
        (LIMITS, [limit for m in MEASURES for limit in m.limits]),
        (CHARTS, [chart for m in MEASURES for chart in m.charts]),
    ):
        assert len({one.key for one in found}) == len(found)
        # two records of one key would hide one another
        assert {id(one) for one in found} == {id(one) for one in every}
    for criterion in CRITERIA:
        assert set(criterion.quantities) == {m.key for m in MEASURES if m.criterion is criterion}
    criteria = {criterion.key for criterion in CRITERIA}
    assert {chart.criterion for chart in CHARTS} <= criteria


def test_a_record_that_contradicts_itself_is_refused():
    sign = MEASURES[0]
    said = {"key": "toy", "symbol": sign.symbol, "words": "a toy"}
    with pytest.raises(ValueError, match="measured exactly where"):
        Measure(of=Of.JACOBIAN, **said)
    with pytest.raises(ValueError, match="does not name toy"):
        Measure(of=Of.NOTHING, criterion=sign.criterion, **said)
    with pytest.raises(ValueError, match="limits of its own"):
        Measure(of=Of.NOTHING, limits=(Limit("max_sign", "sign", "largest", None, "no default"),), **said)


def test_the_words_import_nothing_heavy():
    program = (
        "import sys, resnet_diffeo_probe.measures.registry\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
