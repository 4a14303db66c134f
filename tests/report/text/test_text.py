"""Numbers and names as text."""

import math
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_diffeo_probe.report.text.escaping import (
    count,
    duration,
    label,
    number,
    percent,
    sha,
    shape,
    visible,
)
from resnet_diffeo_probe.report.text.summary import summarise


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "—"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (0, "0"),
        (-0.0, "0"),
        (1, "1"),
        (-3, "−3"),
        (200_704, "200,704"),
        (0.123456, "0.1235"),
        (-972.7, "−972.7"),
        (9999.6, "10,000"),
        (1234.5, "1,234"),
        (9.9996, "10"),
        (12345.6, "12,346"),
        (1.5e-5, "1.5×10⁻⁵"),
        (-2.5e30, "−2.5×10³⁰"),
        (5e-324, "4.941×10⁻³²⁴"),
        (1e-3, "0.001"),
        (10**20, "1×10²⁰"),
    ],
)
def test_number(value, written):
    assert number(value) == written


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(2, 6))
def test_a_number_reads_back_to_its_digits(value, digits):
    text = number(value, digits).replace("−", "-").replace(",", "")
    mantissa, _, power = text.partition("×10")
    exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    read, exact = Decimal(f"{mantissa}e{exponent}"), Decimal(value)
    assert abs(read - exact) <= abs(exact) * Decimal(10) ** (1 - digits) * Decimal("0.51")


def test_other_formats():
    assert percent(0.0457) == "4.57\u00a0%"
    assert percent(None) == "—"
    assert count(None) == "—"
    assert duration(None) == "—"
    assert duration(0.42) == "0.42\u00a0s"
    assert duration(812.4) == "13\u00a0min 32\u00a0s"
    assert duration(59.996) == "60\u00a0s"
    assert duration(7322) == "2\u00a0h 2\u00a0min"
    assert shape([3, 32, 32]) == "3×32×32"
    assert shape([]) == "—"
    assert sha("0123456789" * 6 + "abcd") == "01234567…6789abcd"
    assert sha(None) == "not known"


@given(st.text(st.characters()))
def test_visible_text_only_shows(text):
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert visible(shown) == shown
    shown.encode()


@given(st.text(), st.integers(5, 30))
def test_labels_are_short_and_ascii_but_for_the_ellipsis(text, longest):
    written = label(text, longest)
    assert len(written) <= longest
    assert written.replace("…", "").isascii()


def row(value, status="ok", evidence="exact"):
    return {"value": value, "status": status, "evidence": evidence}


def test_summaries_keep_infinite_values_in_their_place():
    summary = summarise(
        [row(1.0), row(None, "infinite"), row(3.0, evidence="estimated"), row(None, "not_run")]
    )
    assert (summary.median, summary.low, summary.high) == (3.0, 1.0, math.inf)
    assert summary.missing == 1
    assert summary.evidence == ("exact", "estimated")
    assert summary.statuses == (("infinite", 1), ("not_run", 1))


def test_summaries_without_a_middle():
    assert summarise([]).median is None
    assert summarise([row(None, "singular"), row(None, "infinite")]).median is None
    assert summarise([row(None, "singular")], 7).median == -math.inf
    assert summarise([row(14)], 7).median == 2
