"""A result that could not be read back is refused before anything is measured."""

import json

import pytest

from resnet_diffeo_probe.analysis import result_size
from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.plan import Settings, make_plan
from resnet_diffeo_probe.analysis.quantities import Budget
from resnet_diffeo_probe.analysis.result_size import ROW_BYTES, expected_rows
from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.units import discover

from .networks import Block, Net, Wider, images, seeded


def build():
    return seeded(lambda: Net(Block(2), Block(2), Wider(2), width=4))


@pytest.mark.parametrize("budget", [Budget.QUICK, Budget.STANDARD])
def test_the_expected_size_is_about_that_of_the_rows(budget, tmp_path):
    settings = Settings(budget=budget, workers=1)
    plan = make_plan(discover(build(), images(1)), settings)
    analysis = analyze(build(), images(4), settings)
    analysis.save(tmp_path / "result.json")
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
        analyze(build(), x, settings, progress=measured.append)
    assert measured == []
    fits = int(refused.value.fix.split()[1].rstrip(","))
    assert 0 < fits < 40
    assert analyze(build(), x[:fits], settings).complete
    with pytest.raises(ConfigurationError):
        analyze(build(), x[: fits + 1], settings)
