"""Findings held once stay what they were, to the type of their numbers."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.measuring.executors import InThreads
from resnet_diffeo_probe.analysis.measuring.first_look import as_inputs
from resnet_diffeo_probe.analysis.measuring.held_once import HeldOnce
from resnet_diffeo_probe.analysis.measuring.run import run_plan
from resnet_diffeo_probe.analysis.planning.plan import make_plan, prepared
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.finding import Evidence, Finding, Status
from resnet_diffeo_probe.units import discover
from tests.analysis.networks import Block, Net, images, seeded

NUMBER = st.sampled_from([0, 1, -1, 0.0, -0.0, 1.0, 2.5])
FINDING = st.builds(
    Finding,
    st.none() | NUMBER,
    st.sampled_from(Evidence),
    st.sampled_from(Status),
    error=st.none() | st.sampled_from([0, 0.0, 1.0]),
    interval=st.none() | st.tuples(NUMBER, NUMBER),
    dtype=st.none() | st.sampled_from(["float64", "float32"]),
    seed=st.none() | st.integers(0, 1),
    reason=st.none() | st.sampled_from(["a reason", "another"]),
)


def sent(value):
    """Return what another process would have sent."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - of this test


@given(rows=st.lists(st.dictionaries(st.sampled_from(["sign", "sigma_min"]), FINDING), max_size=8))
def test_what_is_shared_is_written_as_before(rows):
    shared = HeldOnce()
    for row in rows:
        again = shared.row(sent(row))
        # as text, since 1 and 1.0 are equal
        assert repr(again) == repr(row)


def test_words_and_findings_without_a_measured_number_are_held_once():
    shared = HeldOnce()
    row = {
        "sign": Finding(1, dtype="float64"),
        "critical_step": Finding.missing(Status.NOT_CONVERGED, "it did not"),
        "sigma_min": Finding(0.5, dtype="float64", reason="it did not"),
    }
    first, second = (shared.row(sent(row)) for _ in range(2))
    assert first["sign"] is second["sign"]
    assert first["critical_step"] is second["critical_step"]
    assert first["sigma_min"] is not second["sigma_min"]
    assert first["sigma_min"].reason is first["critical_step"].reason is second["sigma_min"].reason
    assert first["sigma_min"].dtype is first["sign"].dtype
    assert [id(key) for key in first] == [id(key) for key in second]


class Apart(InThreads):
    """Outcomes as another process sends them: with words of their own."""

    def run(self, tasks):
        for outcome in super().run(tasks):
            yield sent(outcome)


def test_a_run_holds_equal_words_once():
    discovery = discover(seeded(lambda: Net(Block(2), Block(2))).double(), images(1).double())
    plan = prepared(make_plan(discovery, Settings(measures=("sign", "logabsdet"), workers=1)))
    batch = as_inputs(images(4))
    rows = run_plan(discovery, plan, batch, Execution(executor=Apart)).rows
    findings = [pair for by_input in rows.values() for row in by_input.values() for pair in row.items()]
    assert len(findings) == 16
    for words in ([quantity for quantity, _ in findings], [found.dtype for _, found in findings]):
        assert len({id(word) for word in words}) == len(set(words))
    signs = [found for quantity, found in findings if quantity == "sign"]
    assert len({id(sign) for sign in signs}) == len({repr(sign) for sign in signs})
    names = [name for by_input in rows.values() for name in by_input]
    assert len({id(name) for name in names}) == len(batch)
