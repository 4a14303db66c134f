"""All activations that are known, by any of their spellings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_diffeo_probe.activations import curved, linear
from resnet_diffeo_probe.activations.family import Family
from resnet_diffeo_probe.activations.record import Activation

__all__ = ["FAMILIES", "as_record", "bound", "family", "spellings"]

#: In the order in which they are written down. A new one is one more entry.
FAMILIES: tuple[Family, ...] = (*linear.FAMILIES, *curved.FAMILIES)

_BY_NAME = {name: each for each in FAMILIES for name in (each.name, *each.also)}


def family(spelling: str) -> Family | None:
    """Return the entry that a function's name belongs to, None if there is none.

    Args:
        spelling: of the function, its in-place variant (`relu_`) or an operator of the dispatcher (`aten::relu_`,
            `relu.default`).
    """
    bare = spelling.removeprefix("aten::").removeprefix("aten.").split(".", maxsplit=1)[0]
    return _BY_NAME.get(bare) or _BY_NAME.get(bare.removesuffix("_"))


def bound(spelling: str, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Activation:
    """Return what is known of a function with its arguments; a record without knowledge for any other function.

    Args:
        spelling: as for `family`.
        args: after the data. Weights are given as a tuple of numbers, one a channel; a tensor is nothing known.
        kwargs: by name.
    """
    found = family(spelling)
    if found is None:
        return Activation(spelling, (), spelling, spelling)
    return found.bind(args, kwargs)


def as_record(activation: Activation | str | None) -> Activation | None:
    """Return a record for a name alone, which stands for torch's own defaults; a record as it is.

    Args:
        activation: None where there is no activation, which is not an unknown one.
    """
    return bound(activation) if isinstance(activation, str) else activation


def spellings(name: str) -> tuple[str, ...]:
    """Return the names by which torch may call a function, the given one first, without those of in-place variants."""
    found = family(name)
    return (name,) if found is None else tuple(dict.fromkeys((name, found.name, *found.also, *found.called)))
