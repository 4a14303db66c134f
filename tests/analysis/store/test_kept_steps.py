"""What follows the measuring is computed once: found again where nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_diffeo_probe.analysis.analyze import Analysis, analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.steps import (
    attributed_input,
    placement,
    proving,
    pulling_back,
    spatial_maps,
)
from resnet_diffeo_probe.analysis.store import kept_steps
from resnet_diffeo_probe.analysis.store.fingerprint import Conditions
from resnet_diffeo_probe.analysis.store.kept_steps import Content, KeptSteps
from resnet_diffeo_probe.analysis.store.store import Store
from resnet_diffeo_probe.attribution import Baseline
from resnet_diffeo_probe.bijectivity import proofs as proofs_room
from tests.analysis.executed import executed
from tests.analysis.measuring.test_run import comparable

from .going_on import FULL, folding, gone_on, rows, some


def refused(*_args: Any, **_options: Any) -> Any:
    raise AssertionError("this was computed before")


def test_nothing_is_computed_twice(folder: Path, whole: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    for room, name in (
        (proving, "prove"),
        (proving, "pixel_pair"),
        (placement, "refinement_test"),
        (pulling_back, "pullback"),
        (attributed_input, "conductance"),
        (attributed_input, "ablations"),
        (spatial_maps, "singular_vector_map"),
    ):
        monkeypatch.setattr(room, name, refused)
    found, told = gone_on(folder)
    steps = {
        "proofs",
        "pair of images",
        "refinement test",
        "pullback",
        "attribution",
        "attribution maps",
        "maps",
    }
    assert {step for step, _ in told.taken} == steps
    assert [part for step, part in told.taken if step == "proofs"] == ["units.0", "units.1"]
    assert told.again == []
    assert found.step_reuse.reused["proofs"] == 2
    assert comparable(found) == comparable(whole)
    assert found.witnesses
    for mine, other in zip(found.witnesses, whole.witnesses, strict=True):
        assert torch.equal(mine.x1, other.x1) and torch.equal(mine.x2, other.x2)
        assert (mine.grown is None) == (other.grown is None)


def test_what_rests_on_something_else_is_computed_again(folder: Path) -> None:
    changed = some().clone()
    changed[0] += 0.01
    found, told = gone_on(folder, x=changed)
    again = {step for step, _, _ in told.again}
    assert {"proofs", "pair of images", "refinement test", "pullback", "attribution"} <= again
    assert {reason for _, _, reason in told.again} == {"what it rests on has changed"}
    assert ("attribution", "input[1]") in told.taken
    assert ("attribution", "input[0]", "what it rests on has changed") in told.again
    assert comparable(found) == comparable(analyze(folding(), changed, FULL))


def test_a_setting_of_one_step_leaves_the_others_as_they_were(folder: Path) -> None:
    settings = Settings(budget=Budget.FULL, workers=1, baseline=Baseline.BLACK)
    found, told = gone_on(folder, settings=settings)
    assert "proofs" in {step for step, _ in told.taken}
    assert comparable(found) == comparable(analyze(folding(), some(), settings))


def test_parts_that_were_lost_are_computed_and_the_others_taken(folder: Path, whole: Analysis) -> None:
    rows(folder, "DELETE FROM steps WHERE part = 'units.1' OR step = 'pullback' OR part = 'input[2]'")
    found, told = gone_on(folder)
    assert ("proofs", "units.0") in told.taken
    assert ("proofs", "units.1") not in told.taken
    assert ("attribution", "input[1]") in told.taken
    assert comparable(found) == comparable(whole)
    assert len(rows(folder, "SELECT * FROM steps WHERE part = 'units.1' OR step = 'pullback'")) == 2


def test_a_store_of_before_there_were_steps_is_gone_on_with(folder: Path, whole: Analysis) -> None:
    rows(folder, "DROP TABLE steps")
    found, told = gone_on(folder)
    assert (found.reuse.new, told.taken, told.again) == (0, [], [])
    assert comparable(found) == comparable(whole)
    assert gone_on(folder)[1].taken


def test_a_part_that_is_too_large_is_neither_read_nor_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        store.begin(Conditions("m", "{}", "v"))
        kept = KeptSteps(store)
        kept.keep("proofs", "u", "b", Content("x" * 1000))
        assert kept.find("proofs", "u", "b", lambda content: content) is not None
        monkeypatch.setattr(kept_steps, "_MOST_BYTES", 500)
        assert kept.find("proofs", "u", "b", lambda content: content) is None
        kept.keep("proofs", "v", "b", Content("x" * 1000))
    assert rows(tmp_path, "SELECT part FROM steps") == [("u",)]


def test_what_failed_is_tried_again(tmp_path: Path, whole: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_args: Any, **_options: Any) -> Any:
        raise MemoryError

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        for room, name in (
            (proofs_room, "global_certificate"),
            (proving, "pixel_pair"),
            (pulling_back, "pullback"),
            (spatial_maps, "singular_vector_map"),
        ):
            patched.setattr(room, name, no_memory)
        failed = analyze(folding(), some(), FULL, execution=executed(store=store))
    assert failed.result["pixel_pair"]["reason"].startswith("the search failed")
    found, told = gone_on(tmp_path)
    assert {step for step, _ in told.taken} == {"refinement test", "attribution", "attribution maps"}
    assert comparable(found) == comparable(whole)
