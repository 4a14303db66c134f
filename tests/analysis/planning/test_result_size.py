"""A result that could not be read back is refused before anything is measured."""

import json
import pickle
import tracemalloc

import pytest

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.measuring.held_once import HeldOnce
from resnet_diffeo_probe.analysis.measuring.run import Measured
from resnet_diffeo_probe.analysis.planning import result_size
from resnet_diffeo_probe.analysis.planning.plan import make_plan
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.result_size import ROW_BYTES, ROW_MEMORY, expected_rows
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result.schema import write_result
from resnet_diffeo_probe.analysis.steps.result_parts import rows_json
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.report.text.units import units_of
from resnet_diffeo_probe.units import discover
from tests.analysis.executed import executed
from tests.analysis.networks import Block, Net, Wider, images, seeded


def build():
    return seeded(lambda: Net(Block(2), Block(2), Wider(2), width=4))


@pytest.mark.parametrize("budget", [Budget.QUICK, Budget.STANDARD])
def test_the_expected_size_is_about_that_of_the_rows(budget, tmp_path):
    settings = Settings(budget=budget, workers=1)
    plan = make_plan(discover(build(), images(1)), settings)
    analysis = analyze(build(), images(4), settings)
    write_result(analysis.result, tmp_path / "result.json")
    text = (tmp_path / "result.json").read_text(encoding="ascii")
    assert json.loads(text) == analysis.result
    table = text[text.index('"measurements": [') : text.index('"verdicts": [')].splitlines()
    rows = [line for line in table if line.startswith("{")]
    assert len(rows) == len(analysis.result["measurements"])  # a row is a line
    assert 0.5 < sum(map(len, rows)) / (ROW_BYTES * expected_rows(plan, 4)) < 1.2


def test_too_many_numbers_are_refused_with_how_many_inputs_would_do(monkeypatch):
    x, settings = images(40), Settings(budget=Budget.QUICK, workers=1)
    monkeypatch.setattr(result_size, "available_memory", lambda: 70_000.0)
    measured = []
    with pytest.raises(ConfigurationError, match="more than the free memory") as refused:
        analyze(build(), x, settings, execution=executed(measured=measured.append))
    assert measured == []
    fits = int(refused.value.fix.split()[1].rstrip(","))
    assert 0 < fits < 40
    assert analyze(build(), x[:fits], settings).complete
    with pytest.raises(ConfigurationError):
        analyze(build(), x[: fits + 1], settings)


def test_a_number_takes_no_more_memory_than_is_counted_before_a_run():
    found = analyze(build(), images(4), Settings(budget=Budget.STANDARD, workers=1)).result
    by_pair = {}
    for row in found["measurements"]:
        known = {key: row[key] for key in ("error", "dtype", "seed", "reason") if key in row}
        finding = Finding(row["value"], Evidence(row["evidence"]), Status(row["status"]), **known)
        by_pair.setdefault((row["unit"], row["input"]), {})[row["quantity"]] = pickle.dumps(finding)
    tracemalloc.start()
    try:
        shared, measured = HeldOnce(), Measured({unit["name"]: {} for unit in found["units"]})
        for number in range(100):
            for (unit, name), row in by_pair.items():
                sent = {quantity: pickle.loads(finding) for quantity, finding in row.items()}  # noqa: S301
                measured.rows[unit][shared.word(f"{name} {number}")] = shared.row(sent)
        rows = rows_json(measured)
        units = units_of({**found, "measurements": rows})
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) == 100 * len(found["measurements"])
    assert units
    assert 0.4 < held / (ROW_MEMORY * len(rows)) < 0.9
