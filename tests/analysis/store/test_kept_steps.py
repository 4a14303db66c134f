"""What follows the measuring is computed once: found again where nothing changed, never believed without a check."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
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
from resnet_diffeo_probe.analysis.store.kept_steps import Content, KeptSteps, _digest
from resnet_diffeo_probe.analysis.store.store import FILE, Store
from resnet_diffeo_probe.attribution import Baseline
from resnet_diffeo_probe.bijectivity import proofs as proofs_room
from resnet_diffeo_probe.inputs import Inputs
from tests.analysis.measuring.test_run import comparable
from tests.analysis.networks import Block, Net, images, seeded

JSON_ALONE = {"refinement test", "pullback", "attribution", "attribution maps", "maps"}
STEPS = {"proofs", "pair of images"} | JSON_ALONE

FULL = Settings(budget=Budget.FULL, workers=1)


def folding() -> Net:
    """Units with pairs of either map, of which one was grown, and a pair of images."""
    return seeded(lambda: Net(Block(2, scale=8.0), Block(2, scale=8.0)), seed=2)


def some(count: int = 4) -> Inputs | torch.Tensor:
    return images(count, height=6, width=5)


class Told:
    """What an analysis told of the parts that were there."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.again: list[tuple[str, str, str]] = []

    def callbacks(self) -> dict[str, Any]:
        return {
            "taken": lambda *part: self.taken.append(part),
            "again": lambda *part: self.again.append(part),
        }


def gone_on(folder: Path, *, settings: Settings = FULL, x: Any = None) -> tuple[Analysis, Told]:
    told = Told()
    with Store(folder, resume=True) as store:
        found = analyze(folding(), some() if x is None else x, settings, store=store, **told.callbacks())
    return found, told


@pytest.fixture(scope="module")
def whole() -> Analysis:
    """Without a store."""
    return analyze(folding(), some(), FULL)


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The store of an analysis in the full budget."""
    folder = tmp_path_factory.mktemp("computed")
    with Store(folder) as store:
        analyze(folding(), some(), FULL, store=store)
    return (folder / FILE).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, computed: bytes) -> Path:
    (tmp_path / FILE).write_bytes(computed)
    return tmp_path


def rows(folder: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / FILE)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


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
    assert found.step_reuse.taken["proofs"] == 2
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
        kept = KeptSteps(store, **told.callbacks())
        for (step, part), basis in bases.items():
            assert kept.find(step, part, basis or "b", lambda content: content) is None
    assert told.taken == []
    assert len(told.again) == len(bases)


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


def test_what_was_edited_by_hand_is_computed_again(folder: Path, whole: Analysis) -> None:
    rows(folder, EDITS[0])
    found, told = gone_on(folder)
    assert comparable(found) == comparable(whole)
    assert {reason for _, _, reason in told.again} == {"it was changed by another program, or is damaged"}


def interrupted_at(count: int) -> Any:
    """Ctrl-C after so many units were searched."""
    seen: list[str] = []

    def proven(unit: str) -> None:
        seen.append(unit)
        if len(seen) == count:
            signal.raise_signal(signal.SIGINT)

    return proven


def test_an_interrupt_in_the_search_keeps_the_units_that_were_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def three() -> Net:
        return seeded(lambda: Net(*(Block(2, scale=8.0) for _ in range(3))), seed=2)

    settings, begun, heard = Settings(workers=1), [], threading.Event()
    prove, interrupt = proving.prove, interrupted_at(1)

    def waiting(*args: Any, **options: Any) -> Any:
        begun.append(args[0].name)
        assert len(begun) < 2 or heard.wait(60)
        return prove(*args, **options)

    def proven(unit: str) -> None:
        interrupt(unit)
        heard.set()

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(proving, "prove", waiting)
        partial = analyze(three(), some(), settings, store=store, proven=proven)
    assert partial.interrupted
    assert begun == ["units.0", "units.1"], "what was in progress was finished, and nothing begun"
    assert {witness["unit"] for witness in partial.result["witnesses"]} == set(begun)
    assert {c["unit"] for c in partial.result["certificates"]} == set(begun)
    assert partial.result["left_out"] == ["proofs", "refinement test", "attribution", "pictures"]
    told = Told()
    with Store(tmp_path, resume=True) as store:
        found = analyze(three(), some(), settings, store=store, **told.callbacks())
    assert [part for step, part in told.taken if step == "proofs"] == begun
    assert comparable(found) == comparable(analyze(three(), some(), settings))


def test_an_interrupt_at_the_end_of_the_search_leaves_out_what_follows(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        partial = analyze(folding(), some(), FULL, store=store, proven=interrupted_at(2))
    assert partial.interrupted
    assert {witness["unit"] for witness in partial.result["witnesses"]} == {"units.0", "units.1"}
    assert "proofs" not in partial.result["left_out"]
    assert "pair of images" in partial.result["left_out"]


def test_an_interrupt_in_the_attribution_keeps_the_inputs_that_were_done(
    tmp_path: Path, whole: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, seen = attributed_input.conductance, []

    def third(*args: Any, **options: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return compute(*args, **options)

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(attributed_input, "conductance", third)
        partial = analyze(folding(), some(), FULL, store=store)
    assert partial.result["left_out"] == ["attribution", "pictures"]
    assert partial.result["attribution"] is None
    found, told = gone_on(tmp_path)
    assert [part for step, part in told.taken if step == "attribution"] == ["input[0]", "input[1]"]
    assert comparable(found) == comparable(whole)


def test_an_interrupt_in_the_maps_keeps_those_that_were_drawn(
    tmp_path: Path, whole: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, seen = spatial_maps.singular_vector_map, []

    def second(*args: Any, **options: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # this is a thread: the main one hears of it before it begins a third
        return draw(*args, **options)

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(spatial_maps, "singular_vector_map", second)
        partial = analyze(folding(), some(), FULL, store=store)
    assert partial.result["left_out"] == ["pictures"]
    found, told = gone_on(tmp_path)
    assert len([part for step, part in told.taken if step == "maps"]) == 2
    assert comparable(found) == comparable(whole)


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
        failed = analyze(folding(), some(), FULL, store=store)
    assert failed.result["pixel_pair"]["reason"].startswith("the search failed")
    found, told = gone_on(tmp_path)
    assert {step for step, _ in told.taken} == {"refinement test", "attribution", "attribution maps"}
    assert comparable(found) == comparable(whole)


def test_the_second_interrupt_goes_through(tmp_path: Path) -> None:
    def twice(_unit: str) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with Store(tmp_path) as store, pytest.raises(KeyboardInterrupt):
        analyze(folding(), some(), FULL, store=store, proven=twice)
    assert rows(tmp_path, "SELECT step, part FROM steps") == [("proofs", "units.0")]
