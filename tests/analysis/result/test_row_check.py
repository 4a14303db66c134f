"""The quick look at a row of measurements, beside the schema that it stands for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_diffeo_probe.analysis.result import schema
from resnet_diffeo_probe.analysis.result.schema import load_schema
from tests.analysis.small_result import JSON, SMALL

WORDS = load_schema()["$defs"]["measurement"]["properties"]


ROW = {
    "unit": st.text(max_size=3),
    "input": st.none() | st.text(max_size=3),
    "quantity": st.sampled_from(
        ["sign", "sigma_min", "q1_2", "Sign", "", "_a", "a__b", "a_", "1a", "sign\n"]
    ),
    "value": st.none() | st.integers() | st.floats(),
    "evidence": st.sampled_from(WORDS["evidence"]["enum"]),
    "status": st.sampled_from(WORDS["status"]["enum"]),
}


EXTRA = {
    "error": st.floats(-1, 1),
    "interval": st.lists(st.floats(), min_size=1, max_size=3),
    "dtype": st.just("float64"),
    "seed": st.integers(),
    "reason": st.text(max_size=3),
    "more": st.none(),
}


@settings(max_examples=400)
@given(st.fixed_dictionaries(ROW, optional=EXTRA), st.none() | st.sampled_from([*ROW, *EXTRA]), JSON)
def test_the_quick_look_at_a_row_accepts_nothing_that_the_schema_refuses(row, changed, value):
    if changed is not None:
        row = {**row, changed: value}
    if schema._is_surely_a_row()(row):
        assert schema._row_validator().is_valid(row)


@pytest.mark.parametrize("changed", [*ROW, *EXTRA])
@pytest.mark.parametrize("value", [None, True, [], {}, "x", 1.5, [1], [1, True], [1, 2, 3], -1])
def test_a_row_is_refused_by_the_quick_look_wherever_the_schema_refuses_it(changed, value):
    row = {**SMALL["measurements"][1], changed: value}
    if not schema._row_validator().is_valid(row):
        assert not schema._is_surely_a_row()(row)


def test_every_ordinary_row_is_accepted_by_the_quick_look():
    for row in SMALL["measurements"]:
        assert schema._is_surely_a_row()(row)
