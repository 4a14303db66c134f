"""How tests carry out an analysis: with a store, with workers of their own, hearing of what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnet_diffeo_probe.analysis.events import Events
from resnet_diffeo_probe.analysis.measuring.execution import Execution


def telling(**heard: Callable[..., Any]) -> Events:
    """Events that call these, by the name of the method."""
    events = Events()
    for name, hear in heard.items():
        assert callable(getattr(Events, name)), "no event is called so"
        setattr(events, name, hear)
    return events


def executed(**how: Any) -> Execution:
    """An execution: its fields by name, and what hears of an event by the event's."""
    fields = {name: how.pop(name) for name in ("executor", "store", "stop") if name in how}
    return Execution(**fields, events=telling(**how))
