"""An interrupt among the steps: the parts that were done are there, and are taken by the next analysis."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from resnet_diffeo_probe.analysis.analyze import Analysis, analyze
from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.measuring.interrupt import Stop
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.steps import attributed_input, proving, spatial_maps
from resnet_diffeo_probe.analysis.store.store import Store
from tests.analysis.executed import executed
from tests.analysis.measuring.test_run import comparable
from tests.analysis.networks import Block, Net, seeded
from tests.analysis.waiting import PATIENCE

from .going_on import FULL, Told, folding, gone_on, rows, some


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
        assert len(begun) < 2 or heard.wait(PATIENCE)
        return prove(*args, **options)

    def proven(unit: str) -> None:
        interrupt(unit)
        heard.set()

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(proving, "prove", waiting)
        partial = analyze(three(), some(), settings, execution=executed(store=store, proven=proven))
    assert partial.interrupted
    assert begun == ["units.0", "units.1"], "what was in progress was finished, and nothing begun"
    assert {witness["unit"] for witness in partial.result["witnesses"]} == set(begun)
    assert {c["unit"] for c in partial.result["certificates"]} == set(begun)
    assert partial.result["left_out"] == ["proofs", "refinement test", "attribution", "pictures"]
    told = Told()
    with Store(tmp_path, resume=True) as store:
        found = analyze(three(), some(), settings, execution=Execution(store=store, events=told))
    assert [part for step, part in told.taken if step == "proofs"] == begun
    assert comparable(found) == comparable(analyze(three(), some(), settings))


def test_an_interrupt_at_the_end_of_the_search_leaves_out_what_follows(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        partial = analyze(folding(), some(), FULL, execution=executed(store=store, proven=interrupted_at(2)))
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
        partial = analyze(folding(), some(), FULL, execution=executed(store=store))
    assert partial.result["left_out"] == ["attribution", "pictures"]
    assert partial.result["attribution"] is None
    found, told = gone_on(tmp_path)
    assert [part for step, part in told.taken if step == "attribution"] == ["input[0]", "input[1]"]
    assert comparable(found) == comparable(whole)


def test_an_interrupt_in_the_maps_keeps_those_that_were_drawn(
    tmp_path: Path, whole: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, seen, heard = spatial_maps.singular_vector_map, [], threading.Event()

    def second(*args: Any, **options: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            assert heard.wait(PATIENCE)  # this is a thread: the main one hears of it
        return draw(*args, **options)

    with Store(tmp_path) as store, monkeypatch.context() as patched:
        patched.setattr(spatial_maps, "singular_vector_map", second)
        partial = analyze(
            folding(), some(), FULL, execution=executed(store=store, stop=Stop(heard=heard.set))
        )
    assert partial.result["left_out"] == ["pictures"]
    found, told = gone_on(tmp_path)
    assert len([part for step, part in told.taken if step == "maps"]) == 2
    assert comparable(found) == comparable(whole)


def test_the_second_interrupt_goes_through(tmp_path: Path) -> None:
    def twice(_unit: str) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with Store(tmp_path) as store, pytest.raises(KeyboardInterrupt):
        analyze(folding(), some(), FULL, execution=executed(store=store, proven=twice))
    assert rows(tmp_path, "SELECT step, part FROM steps") == [("proofs", "units.0")]
