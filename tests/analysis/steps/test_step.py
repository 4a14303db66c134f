"""The list of steps: the result, what an interrupt leaves out, what is kept and the page follow from it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from resnet_diffeo_probe.analysis import analyze as room
from resnet_diffeo_probe.analysis.analyze import analyze
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.result import schema
from resnet_diffeo_probe.analysis.result.step_names import STEP_NAMES, StepNames, sections_in_order
from resnet_diffeo_probe.analysis.steps.order import STEPS
from resnet_diffeo_probe.analysis.steps.step import Context, Step
from resnet_diffeo_probe.analysis.store.kept_steps import basis_of
from resnet_diffeo_probe.analysis.store.store import Store
from tests.analysis.executed import executed
from tests.analysis.networks import Block, Net, images, seeded

QUICK = Settings(budget=Budget.QUICK, workers=1)


def net() -> Net:
    return seeded(lambda: Net(Block(2)))


# A step as somebody would add it: a name, what it does, a line in the list.
computed: list[str] = []


def _count(context: Context) -> dict[str, Any]:
    def count() -> dict[str, Any]:
        computed.append("units")
        return {"units": len(context.plan.units)}

    found: dict[str, Any] = context.kept.take("toy", "units", basis_of(of=context.batch.names), count, dict)
    return found


TOY: Step[dict[str, Any] | None] = Step(
    StepNames("toy step", ("toy",), ("toy",)), wanted=lambda _: True, run=_count, nothing=lambda: None
)


@pytest.fixture
def with_toy(monkeypatch: pytest.MonkeyPatch) -> None:
    text = schema.load_schema()
    text["properties"]["toy"] = {"type": ["object", "null"]}
    monkeypatch.setattr(schema, "load_schema", lambda: text)
    monkeypatch.setattr(room, "STEPS", (*STEPS, TOY))
    monkeypatch.setattr(room, "validate", Draft202012Validator(text).validate)
    computed.clear()


@pytest.mark.usefixtures("with_toy")
def test_a_new_step_is_in_the_result_in_the_store_and_among_what_is_left_out(tmp_path: Path) -> None:
    begun: list[str] = []

    def interrupting(step: str, _operations: float | None) -> None:
        begun.append(step)
        if step == "pictures":
            signal.raise_signal(signal.SIGINT)

    with Store(tmp_path / "cut") as store:
        partial = analyze(net(), images(2), QUICK, execution=executed(store=store, begun=interrupting))
    assert partial.interrupted and not partial.complete
    assert partial.result["left_out"] == ["pictures", "toy step"]
    assert partial.result["toy"] is None
    assert begun == ["references", "pictures"] and not computed

    reused: list[tuple[str, str]] = []
    for resume in (False, True):
        with Store(tmp_path / "whole", resume=resume) as store:
            execution = executed(store=store, reused=lambda *part: reused.append(part))
            found = analyze(net(), images(2), QUICK, execution=execution)
        assert list(found.result)[-2:] == ["toy", "left_out"]
        assert found.result["toy"] == {"units": 1}
    assert computed == ["units"]
    assert ("toy", "units") in reused


def test_every_step_has_its_names_in_the_list_that_needs_no_torch() -> None:
    assert tuple(step.names for step in STEPS) == STEP_NAMES
    for what in ("words", "keys", "kept"):
        listed = [getattr(names, what) for names in STEP_NAMES]
        words = listed if what == "words" else [each for names in listed for each in names]
        assert len(words) == len(set(words)), what


def test_the_schema_has_the_keys_of_the_steps_in_their_order_and_none_is_required() -> None:
    keys = [key for names in STEP_NAMES for key in names.keys]
    text = schema.load_schema()
    assert [key for key in text["properties"] if key in keys] == keys
    assert list(text["properties"])[-len(keys) - 1 :] == [*keys, "left_out"]
    assert not set(keys) & set(text["required"])


def test_a_result_has_the_keys_of_the_schema_in_its_order() -> None:
    result = analyze(net(), images(1), QUICK).result
    assert list(result) == list(schema.load_schema()["properties"])
    assert {key: result[key] for step in STEPS for key in step.names.keys} == {
        key: result[key] if step.brief or step.wanted(QUICK) else value
        for step in STEPS
        for key, value in step.entries(step.nothing()).items()
    }


def test_the_store_has_the_names_that_files_of_users_hold() -> None:
    assert {kept for names in STEP_NAMES for kept in names.kept} == {
        "proofs",
        "pair of images",
        "refinement test",
        "pullback",
        "attribution",
        "attribution maps",
        "maps",
    }


def test_sections_follow_those_that_they_name_wherever_their_step_stands() -> None:
    steps = (
        StepNames("late", ("late",), section="b", after="a"),
        StepNames("early", ("early",), section="a", after="first"),
        StepNames("within", ("within",), section="a"),
        StepNames("none", ("none",)),
    )
    assert sections_in_order(("first", "last"), steps) == ("first", "a", "b", "last")
    with pytest.raises(ValueError, match="no section 'nowhere' that 'c' could follow"):
        sections_in_order(("first",), (StepNames("c", ("c",), section="c", after="nowhere"),))
