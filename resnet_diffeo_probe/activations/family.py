"""One entry of the registry: a function's spellings, its parameters, and what is known of it for given ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_diffeo_probe.activations.record import Activation

__all__ = ["REQUIRED", "Family", "Parameter", "is_number"]

#: The default of a parameter that has none.
REQUIRED = object()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function, after the data.

    Attributes:
        name: as torch calls it.
        default: torch's own, `REQUIRED` where there is none.
        keyword: whether torch takes it by name only.
    """

    name: str
    default: Any = REQUIRED
    keyword: bool = False


@dataclass(frozen=True)
class Family:
    """A function that may have parameters.

    Attributes:
        name: of the torch function.
        describe: the parameters -> what is known, without name, arguments and label; None where nothing is. It is only
            ever given numbers of type int or float but NaN, tuples of such, None, words and truth values.
        parameters: in torch's order.
        also: other names of the same function; those of in-place variants need not be listed.
        called: another function that its module calls instead.
        module: its class in `torch.nn`, which names it for people.
        spelled: the function in methods of tensors, where torch has no function of that name.
        examples: arguments over which the tests hold what `describe` says.
    """

    name: str
    describe: Callable[..., Activation | None]
    parameters: tuple[Parameter, ...] = ()
    also: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    module: str | None = None
    spelled: Callable[..., Any] | None = None
    examples: tuple[tuple[Any, ...], ...] = ((),)

    def bind(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Activation:
        """Return the record of the function with these arguments, one without knowledge where they are odd.

        Args:
            args: after the data.
            kwargs: by name; `inplace` is no argument of a function.
        """
        display = self.module or self.name
        unknown = Activation(self.name, (), display, self.name)
        given = self._arguments(args, kwargs or {})
        if given is None:
            return unknown
        found = self.describe(*given)
        if found is None:
            return unknown
        return Activation(
            self.name,
            given,
            display,
            self._label(given, found),
            found.continuous,
            found.kinks,
            found.slopes,
            found.curvature,
            found.injective,
            found.constants,
            found.piecewise_linear,
            found.source,
        )

    def _arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Return every parameter's value; None where one is missing, one too many, or one is odd."""
        names = [parameter.name for parameter in self.parameters]
        rest = {key: value for key, value in kwargs.items() if key != "inplace"}
        given = dict(zip(names, args, strict=False))
        if len(args) > len(names) or rest.keys() - set(names) or rest.keys() & given.keys():
            return None
        given |= rest
        values = tuple(given.get(p.name, p.default) for p in self.parameters)
        return values if all(map(_is_plain, values)) else None

    def _label(self, given: tuple[Any, ...], found: Activation) -> str:
        """Return the name; with the arguments where it is injective for torch's defaults and not for these."""
        usual = self._arguments((), {})
        named = None if usual is None else self.describe(*usual)
        if named is not None and named.injective and not found.injective:
            return f"{self.name}({', '.join(map(str, given))})"
        return self.name


def is_number(value: Any) -> bool:
    """Say whether a parameter is a finite number: no truth value, no tensor, no subclass of a number."""
    return type(value) in (int, float) and math.isfinite(value)


def _is_plain(value: Any) -> bool:
    """Say whether a value is one that the rules of a family may reason about: no tensors, no subclasses, no NaN."""
    if type(value) is tuple:
        return bool(value) and all(map(is_number, value))
    if type(value) in (int, float):
        return not math.isnan(value)
    return value is None or type(value) in (bool, str)
