"""A plan carried out with a store: nothing is measured twice, and the result is that of one run in one go."""

import json
import sqlite3
from dataclasses import replace

import pytest
import torch

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.measuring import pair
from resnet_diffeo_probe.analysis.measuring.interrupt import Stop
from resnet_diffeo_probe.analysis.measuring.run import _worth_retrying
from resnet_diffeo_probe.analysis.planning.outcome import Outcome
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.steps import proving
from resnet_diffeo_probe.analysis.store.store import FILE, Kept, Store
from resnet_diffeo_probe.errors import InputsError
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows
from tests.analysis.executed import executed
from tests.analysis.networks import Block, Net, Wider, images, seeded

SETTINGS = Settings(workers=1)
QUICK = Settings(budget=Budget.QUICK, workers=1)


def build():
    return seeded(lambda: Net(Block(2), Block(2, scale=4), Wider(2), width=4))


def comparable(analysis):
    """The result without times and the number of workers."""

    def without_times(node):
        if isinstance(node, list):
            return [without_times(child) for child in node]
        if isinstance(node, dict):
            times = ("started", "seconds", "workers")
            return {key: without_times(child) for key, child in node.items() if key not in times}
        return node

    return json.dumps(without_times(analysis.result))


def interrupting(after):
    """Progress that is stopped as by Ctrl-C."""
    seen = []

    def progress(step):
        seen.append(step)
        if len(seen) == after:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("budget", [Budget.STANDARD, Budget.FULL])
def test_an_interrupted_run_ends_with_the_result_of_one_that_was_not(tmp_path, budget):
    settings, x = replace(SETTINGS, budget=budget), images(4)
    whole = analyze(build(), x, settings)
    with Store(tmp_path) as store:
        partial = analyze(build(), x, settings, execution=executed(store=store, measured=interrupting(4)))
    assert partial.interrupted
    assert partial.result["left_out"][0] == "proofs"
    with Store(tmp_path, resume=True) as store:
        steps = []
        resumed = analyze(
            build(), x, replace(settings, workers=3), execution=executed(store=store, measured=steps.append)
        )
    assert comparable(resumed) == comparable(whole)
    there = sum(
        len({row["input"] for row in partial.result["measurements"] if row["unit"] == u}) for u in UNITS
    )
    assert resumed.reuse.reused == sum(step.reused for step in steps) == there >= 4
    assert resumed.reuse.new == 3 * 4 - there
    assert [step.done for step in steps] == list(range(1, 13))


UNITS = ("units.0", "units.1", "units.2")


def test_nothing_is_measured_when_all_is_there(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        first = analyze(build(), images(3), QUICK, execution=executed(store=store))

    def never(*_args, **_options):
        raise AssertionError("measured again")

    monkeypatch.setattr(pair, "measure", never)
    with Store(tmp_path, resume=True) as store:
        second = analyze(build(), images(3), QUICK, execution=executed(store=store))
    assert second.reuse.reused == 9
    assert comparable(first) == comparable(second)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"settings": replace(QUICK, dtype="float32")}, "dtype was float64 and is float32"),
        ({"settings": replace(QUICK, measures=("sign",))}, "measures was  and is sign"),
        (
            {"model": seeded(lambda: Net(Block(2), Block(2, scale=4), Wider(2), width=4), seed=1)},
            "the model has changed",
        ),
    ],
)
def test_another_study_says_why_and_measures_again(tmp_path, change, reason):
    with Store(tmp_path) as store:
        analyze(build(), images(2), QUICK, execution=executed(store=store))
    stale = []
    with Store(tmp_path, resume=True) as store:
        again = analyze(
            change.get("model", build()),
            images(2),
            change.get("settings", QUICK),
            execution=executed(store=store, discarded=stale.append),
        )
    assert stale == [[reason]]
    assert again.reuse.reused == 0


def test_more_units_workers_and_memory_make_nothing_stale(tmp_path):
    with Store(tmp_path) as store:
        analyze(build(), images(3)[:2], replace(QUICK, units=("units.0",)), execution=executed(store=store))
    stale = []
    with Store(tmp_path, resume=True) as store:
        more = replace(QUICK, workers=2, max_bytes=2**33)
        again = analyze(build(), images(3), more, execution=executed(store=store, discarded=stale.append))
    assert stale == []
    # of the first two inputs, the unit that was chosen and the one that has no determinant
    assert (again.reuse.reused, again.reuse.new) == (4, 5)
    assert comparable(again) == comparable(analyze(build(), images(3), more))


def test_an_input_of_the_same_name_that_is_another_is_measured_again(tmp_path):
    with Store(tmp_path) as store:
        analyze(build(), images(3), QUICK, execution=executed(store=store))
    x = images(3)
    x[1] += 1e-3
    with Store(tmp_path, resume=True) as store:
        again = analyze(build(), x, QUICK, execution=executed(store=store))
    assert (again.reuse.reused, again.reuse.changed) == (6, 3)
    assert comparable(again) == comparable(analyze(build(), x, QUICK))


def test_what_failed_is_tried_again(tmp_path, monkeypatch):
    measure = pair.measure

    def failing(*_args, **_options):
        raise MemoryError("for the moment")

    monkeypatch.setattr(pair, "measure", failing)
    with Store(tmp_path) as store:
        steps = []
        assert not analyze(
            build(), images(2), QUICK, execution=executed(store=store, measured=steps.append)
        ).complete
    assert sum("for the moment" in (step.problem or "") for step in steps) == 4
    monkeypatch.setattr(pair, "measure", measure)
    with Store(tmp_path, resume=True) as store:
        again = analyze(build(), images(2), QUICK, execution=executed(store=store))
    assert again.complete
    assert (again.reuse.retried, again.reuse.reused) == (4, 2)


def test_a_determinant_without_room_is_measured_again_where_there_is_more(tmp_path):
    tight = replace(QUICK, max_bytes=2000.0)
    with Store(tmp_path) as store:
        first = analyze(build(), images(1), tight, execution=executed(store=store))
    assert any(row["status"] == "not_run" for row in first.result["measurements"])
    with Store(tmp_path, resume=True) as store:
        more = analyze(build(), images(1), QUICK, execution=executed(store=store))
    assert more.reuse.retried == 2
    assert comparable(more) == comparable(analyze(build(), images(1), QUICK))


def test_what_was_estimated_for_want_of_memory_stands_until_there_is_more():
    estimated = {
        "sign": Finding.missing(Status.NOT_RUN, "the factors need 3 GiB"),
        "logabsdet": Finding(1.5, Evidence.ESTIMATED, interval=(1.0, 2.0)),
    }
    kept = Kept(Outcome("u", "a", estimated, True, 1.0), "hash", 2e9)
    assert not _worth_retrying(kept, 2e9)
    assert not _worth_retrying(kept, 1e9)
    assert _worth_retrying(kept, 4e9)
    lost = Kept(Outcome("u", "a", dict.fromkeys(estimated, estimated["sign"]), True, 1.0), "hash", 2e9)
    assert _worth_retrying(lost, 1e9), "a worker that died, say"


class Vanishing(TensorRows):
    """The second input cannot be read while the units are measured."""

    def part(self, start, stop):
        if start <= 1 < stop:
            raise InputsError("b.png went away", code="inputs-changed")
        return super().part(start, stop)


def test_an_input_that_goes_away_is_a_row_and_the_others_are_measured(tmp_path):
    batch = Inputs(Vanishing(images(3)), ("a", "b", "c"), None, None, (), "images", "x", Preprocessing(), 0)
    with Store(tmp_path) as store:
        analysis = analyze(build(), batch, QUICK, execution=executed(store=store))
    states = {(r["input"], r["status"]) for r in analysis.result["measurements"] if r["quantity"] == "sign"}
    assert {("a", "ok"), ("b", "error"), ("c", "ok")} <= states
    assert any("b.png went away" in (r.get("reason") or "") for r in analysis.result["measurements"])
    connection = sqlite3.connect(tmp_path / FILE)
    names = {name for (name,) in connection.execute("SELECT DISTINCT input FROM pairs")}
    connection.close()
    assert names == {"a", "c"}, "what was not seen is not kept"


def test_an_interrupt_during_the_proofs_keeps_the_rows_and_says_what_is_missing(tmp_path, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    x = images(3)
    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(proving, "finish_each", interrupted)
        partial = analyze(build(), x, SETTINGS, execution=executed(store=store))
    assert partial.interrupted
    assert not partial.complete
    assert partial.result["left_out"] == ["proofs", "refinement test", "attribution", "pictures"]
    assert {row["status"] for row in partial.result["units"]} == {"complete", "not_applicable"}
    with Store(tmp_path, resume=True) as store:
        resumed = analyze(build(), x, SETTINGS, execution=executed(store=store))
    assert resumed.reuse.new == 0
    assert comparable(resumed) == comparable(analyze(build(), x, SETTINGS))


def test_the_handler_of_interrupts_and_the_random_state_are_as_before():
    import signal

    before, state = signal.getsignal(signal.SIGINT), torch.get_rng_state()
    stop = Stop()
    asked = []
    with stop.listening(), stop.finishing(lambda: asked.append("finish")):
        signal.raise_signal(signal.SIGINT)
        assert asked == ["finish"]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    with Stop().listening(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.equal(torch.get_rng_state(), state)
