"""Units measured at several inputs together find what each input finds by itself; a fault stays with its pair."""

import itertools
from dataclasses import replace

import pytest
import torch

from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.measuring.executors import on_device
from resnet_diffeo_probe.analysis.measuring.executors.on_device import OnDevice
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.finding import Status
from resnet_diffeo_probe.jacobian.measures.batched_determinant import determinants, together_bytes
from tests.analysis import networks
from tests.analysis.executed import executed
from tests.analysis.studied import QUANTITIES, Study, rows


@pytest.fixture(scope="module")
def net():
    return networks.seeded(
        lambda: networks.Net(networks.Block(2), networks.Wider(2), networks.Block(4, 0.3), width=4)
    )


@pytest.fixture(scope="module")
def study(net):
    return Study(net, networks.images(7))


@pytest.fixture
def batches(monkeypatch):
    """Sizes of the batches that were eliminated."""
    sizes = []

    def counted(lins, **how):
        sizes.append(len(lins))
        return determinants(lins, **how)

    monkeypatch.setattr(on_device, "determinants", counted)
    return sizes


def together(study, *, inputs=None, names=None):
    with OnDevice(study.discovery, study.plan, inputs=inputs) as executor:
        return rows(executor.run(study.tasks(names)))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for pair, (findings, nonnegative) in found.items():
        others, other_nonnegative = expected[pair]
        assert nonnegative == other_nonnegative
        assert list(findings) == list(others)
        for quantity, finding in findings.items():
            other = others[quantity]
            assert (finding.status, finding.evidence, finding.dtype) == (
                other.status,
                other.evidence,
                other.dtype,
            )
            if quantity == "sign_margin":  # a bound of rounding errors differs with them
                assert (finding.value is None) == (other.value is None)
            elif finding.value is None:
                assert (other.value, finding.reason) == (None, other.reason)
            else:
                assert finding.value == pytest.approx(other.value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("inputs", [1, 2, 3, 7, 100])
def test_batches_find_what_threads_find(study, batches, inputs):
    assert_same(together(study, inputs=inputs), study.in_threads())
    blocks = 2  # the unit in between changes the dimension
    whole, rest = divmod(7, inputs)
    expected = [inputs] * (blocks * whole) + [rest] * blocks
    assert batches == [size for size in expected if size > 1]


@pytest.mark.parametrize("budget", [Budget.QUICK, Budget.FULL])
def test_every_quantity_of_a_budget(net, batches, budget):
    study = Study(net, networks.images(3), settings=Settings(workers=2, budget=budget))
    assert_same(together(study), study.in_threads())
    assert batches == [3, 3]


def test_nothing_is_eliminated_where_no_quantity_needs_it(net, batches):
    study = Study(net, networks.images(3), settings=Settings(workers=2, measures=("residual_ratio",)))
    assert_same(together(study), study.in_threads())
    assert batches == []


def test_a_batch_keeps_to_the_memory_allowed(net, monkeypatch):
    free = Study(net, networks.images(6))
    jacobian = free.plan.units[-1].jacobian
    _, seen = free.discovery.run(free.x[:1].double())
    allowed = together_bytes([jacobian.at(seen[free.units[-1]].input)] * 3, keep=True)
    sizes = {}

    def counted(lins, **how):
        assert together_bytes(lins, keep=how["keep"]) <= allowed
        sizes.setdefault(lins[0].parent.name, []).append(len(lins))
        return determinants(lins, **how)

    monkeypatch.setattr(on_device, "determinants", counted)
    study = Study(net, free.x, settings=Settings(workers=1, measures=QUANTITIES, max_bytes=allowed))
    assert_same(together(study), study.in_threads())
    # the first unit is smaller
    assert sizes[free.units[0]] == [6]
    assert max(sizes[free.units[-1]]) < 6


def test_what_does_not_fit_alone_is_estimated_as_ever(net, batches):
    study = Study(
        net, networks.images(2), settings=Settings(workers=1, measures=QUANTITIES, max_bytes=2000.0)
    )
    found = together(study)
    assert_same(found, study.in_threads())
    assert batches == []
    signs = [findings["sign"].status for findings, _ in found.values()]
    assert Status.NOT_RUN in signs


def test_an_input_that_is_not_finite_is_its_own_row(study, batches):
    x = study.x.clone()
    x[2] = torch.nan
    spoiled = Study(study.net, x)
    found = together(spoiled)
    assert_same(found, spoiled.in_threads())
    assert batches == [6, 6]
    assert {found[unit, "input[2]"][0]["sign"].status for unit in study.units[::2]} == {Status.ERROR}


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("singular"), KeyError()]
)
def test_a_batch_that_fails_is_halved_until_it_does_not(study, monkeypatch, error):
    tried = []

    def failing(lins, **how):
        tried.append(len(lins))
        if len(lins) > 2:
            raise error
        return determinants(lins, **how)

    monkeypatch.setattr(on_device, "determinants", failing)
    assert_same(together(study), study.in_threads())
    assert tried == [7, 3, 2, 4, 2, 2] * 2


def test_an_input_that_fails_alone_too_is_a_row_with_its_reason(study, monkeypatch):
    unit = study.units[0]
    _, seen = study.discovery.run(study.x[3:4].double())
    bad = seen[unit].input

    def failing(lins, **how):
        if any(torch.equal(lin.x, bad) for lin in lins):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return determinants(lins, **how)

    def failing_alone(lin, **how):
        return failing([lin], **how)[0]

    monkeypatch.setattr(on_device, "determinants", failing)
    monkeypatch.setattr("resnet_diffeo_probe.jacobian.measures.measure.determinant", failing_alone)
    found = together(study)
    sign = found[unit, "input[3]"][0]["sign"]
    assert sign.status is Status.NOT_RUN
    assert "out of memory" in sign.reason
    good = study.in_threads()
    del found[unit, "input[3]"], good[unit, "input[3]"]
    assert_same(found, good)


def test_tasks_are_taken_as_they_are_needed_and_a_stop_ends_it(study):
    taken = []

    def endless():
        for number in itertools.count():
            for unit in study.units:
                task = next(t for t in study.tasks([f"n{number}"]) if t.unit == unit)
                taken.append(task)
                yield task

    with OnDevice(study.discovery, study.plan, inputs=2) as executor:
        outcomes = executor.run(endless())
        first = next(outcomes)
        assert first.unit == study.units[0]
        # two inputs, and the task that shows that the second one is over
        assert len(taken) == 2 * len(study.units) + 1
        executor.stop()
        left = list(outcomes)
    assert len(taken) == 2 * len(study.units) + 1
    assert {outcome.unit for outcome in left} <= {study.units[0]}


def test_after_a_stop_nothing_is_linearised(study, monkeypatch):
    begun = []
    honest = on_device.BegunPair

    def counted(*args):
        begun.append(args)
        return honest(*args)

    monkeypatch.setattr(on_device, "BegunPair", counted)
    with OnDevice(study.discovery, study.plan) as executor:
        outcomes = executor.run(study.tasks())
        next(outcomes)
        executor.stop()
        left = list(outcomes)
    assert len(begun) == 7
    # what threads had begun is finished
    assert len(left) < 7


def test_a_unit_that_is_not_planned_is_refused(study):
    task = next(study.tasks())
    with OnDevice(study.discovery, study.plan) as executor, pytest.raises(KeyError):
        list(executor.run([replace(task, unit="nothing")]))


def test_a_run_commits_batches_and_another_takes_them_up(net, batches, tmp_path):
    x, settings = networks.images(5), Settings(workers=2, budget=Budget.QUICK)
    threads = analyze(net, x, settings)
    with Store(tmp_path) as store:
        first = analyze(net, x, settings, execution=executed(executor=OnDevice, store=store))
    assert batches == [5, 5]
    with Store(tmp_path, resume=True) as store:
        again = analyze(net, x, settings, execution=executed(executor=OnDevice, store=store))
    assert batches == [5, 5]
    assert again.reuse.reused == 15
    for one, other, expected in zip(
        *(analysis.result["measurements"] for analysis in (first, again, threads)), strict=True
    ):
        assert one == other
        place = ("unit", "input", "quantity", "status")
        assert [one[k] for k in place] == [expected[k] for k in place]
        if one["quantity"] in ("sign", "logabsdet") and one["status"] == "ok":
            assert one["value"] == pytest.approx(expected["value"], rel=1e-9)


def test_time_of_a_batch_is_shared_by_its_inputs(study, monkeypatch):
    clock = itertools.count(0.0, 7000.0)
    monkeypatch.setattr(on_device, "perf_counter", lambda: next(clock))
    with OnDevice(study.discovery, study.plan) as executor:
        outcomes = list(executor.run(study.tasks()))
    batched = {study.units[0], study.units[2]}
    assert {outcome.unit for outcome in outcomes if 1000 <= outcome.seconds < 1100} == batched
    assert all(outcome.seconds < 100 for outcome in outcomes if outcome.unit not in batched)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_finds_what_the_cpu_finds(net, batches):
    there = Study(net, networks.images(7), settings=Settings(workers=2, measures=QUANTITIES, device="cuda"))
    assert all(p.accelerated is not None for p in there.plan.units if p.jacobian is not None)
    assert_same(together(there), Study(net, networks.images(7)).in_threads())
    assert batches == [7, 7]
