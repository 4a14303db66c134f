"""Analyses of a small network in the full budget that go on from a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import torch

from resnet_diffeo_probe.analysis.analyze import Analysis, analyze
from resnet_diffeo_probe.analysis.events import Events
from resnet_diffeo_probe.analysis.measuring.execution import Execution
from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.analysis.store.store import FILE, Store
from resnet_diffeo_probe.inputs import Inputs
from tests.analysis.networks import Block, Net, images, seeded

FULL = Settings(budget=Budget.FULL, workers=1)


def folding() -> Net:
    """Units with pairs of either map, of which one was grown, and a pair of images."""
    return seeded(lambda: Net(Block(2, scale=8.0), Block(2, scale=8.0)), seed=2)


def some(count: int = 4) -> Inputs | torch.Tensor:
    return images(count, height=6, width=5)


class Told(Events):
    """What an analysis told of the parts that were there."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.again: list[tuple[str, str, str]] = []

    def reused(self, step: str, part: str) -> None:
        self.taken.append((step, part))

    def recomputed(self, step: str, part: str, reason: str) -> None:
        self.again.append((step, part, reason))


def gone_on(folder: Path, *, settings: Settings = FULL, x: Any = None) -> tuple[Analysis, Told]:
    told = Told()
    with Store(folder, resume=True) as store:
        found = analyze(
            folding(), some() if x is None else x, settings, execution=Execution(store=store, events=told)
        )
    return found, told


def rows(folder: Path, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / FILE)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()
