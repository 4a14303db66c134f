"""What was kept of the steps may have been edited by anyone: it is never believed without a check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resnet_diffeo_probe.analysis.analyze import Analysis
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.kept_steps import KeptSteps, _digest
from resnet_diffeo_probe.analysis.store.store import Store
from tests.analysis.measuring.test_run import comparable

from .going_on import Told, gone_on, rows

JSON_ALONE = {"refinement test", "pullback", "attribution", "attribution maps", "maps"}
STEPS = {"proofs", "pair of images"} | JSON_ALONE


def edited(folder: Path, value: Any) -> None:
    """Replace the content of every part that is JSON alone, as somebody would who knows how the digest is made."""
    parts = rows(
        folder, "SELECT step, part, basis, arrays FROM steps WHERE step NOT IN ('proofs', 'pair of images')"
    )
    for step, part, basis, arrays in parts:
        text = json.dumps(value)
        digest = _digest(step, part, basis, text, arrays)
        sql = "UPDATE steps SET content = ?, sha256 = ? WHERE step = ? AND part = ?"
        rows(folder, sql, text, digest, step, part)


@pytest.mark.parametrize("value", [3, {"a": "<script>"}, [["x"]], None])
def test_what_is_no_part_of_a_result_is_computed_again(folder: Path, whole: Analysis, value: Any) -> None:
    edited(folder, value)
    found, told = gone_on(folder)
    assert comparable(found) == comparable(whole)
    assert {step for step, _, _ in told.again} == JSON_ALONE
    assert {step for step, _ in told.taken} == STEPS - JSON_ALONE


EDITS = [
    "UPDATE steps SET content = '{'",
    "UPDATE steps SET content = content || ' '",
    "UPDATE steps SET arrays = zeroblob(length(arrays) + 1)",
    "UPDATE steps SET arrays = 3, content = 4",
    "UPDATE steps SET content = x'00ff'",
    "UPDATE steps SET sha256 = ''",
    "UPDATE steps SET basis = ''",
    "UPDATE steps SET part = part || 'x'",
]


@pytest.mark.parametrize("sql", EDITS)
def test_what_was_edited_by_hand_is_not_found(folder: Path, sql: str) -> None:
    rows(folder, sql)
    told = Told()
    [[model, settings, version]] = rows(folder, "SELECT model, settings, version FROM studies")
    bases = {(step, part): basis for step, part, basis in rows(folder, "SELECT step, part, basis FROM steps")}
    with Store(folder, resume=True) as store:
        store.begin(Conditions(model, settings, version))
        kept = KeptSteps(store, told)
        for (step, part), basis in bases.items():
            assert kept.find(step, part, basis or "b", lambda content: content) is None
    assert told.taken == []
    assert len(told.again) == len(bases)


def test_what_was_edited_by_hand_is_computed_again(folder: Path, whole: Analysis) -> None:
    rows(folder, EDITS[0])
    found, told = gone_on(folder)
    assert comparable(found) == comparable(whole)
    assert {reason for _, _, reason in told.again} == {"it was changed by another program, or is damaged"}
