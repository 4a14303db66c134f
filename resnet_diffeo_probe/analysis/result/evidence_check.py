"""The optional parts of a result speak only of units and inputs that it holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["broken_evidence"]

# What names an entry of each part of the attribution.
_ATTRIBUTED = {
    "inputs": ("input",),
    "units": ("unit",),
    "rows": ("unit", "input"),
    "images": ("input",),
    "maps": ("unit", "input", "of"),
}


def broken_evidence(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the place and the problem of every name that does not exist, and of every second entry.

    Args:
        result: valid for the schema.
    """
    units = {unit["name"] for unit in result["units"]}
    inputs = {None, *result["inputs"]["names"]}
    for part in ("witnesses", "certificates", "references", "refinement"):
        for index, entry in enumerate(result.get(part, ())):
            # null, where the schema allows it, is all units together
            if entry["unit"] is not None and entry["unit"] not in units:
                yield f"{part}[{index}].unit", f"{entry['unit']!r} is not in units"
    for index, certificate in enumerate(result.get("certificates", ())):
        if certificate["input"] not in inputs:
            yield f"certificates[{index}].input", f"{certificate['input']!r} is not in inputs.names"
    yield from _broken_pictures(result.get("pictures") or {}, units, inputs)
    yield from _broken_attribution(result.get("attribution") or {}, units, inputs)
    yield from _broken_pullback(result.get("pullback") or {}, units, inputs)
    yield from _twice(result, "references", ("unit",))
    yield from _twice(result, "refinement", ("unit", "scheme", "steps"))


def _broken_pictures(
    pictures: Mapping[str, Any], units: set[str], inputs: set[str | None]
) -> Iterator[tuple[str, str]]:
    for part in ("inputs", "maps", "pairs"):
        for index, entry in enumerate(pictures.get(part, ())):
            if part != "inputs" and entry.get("unit") not in units:
                yield f"pictures.{part}[{index}].unit", f"{entry.get('unit')!r} is not in units"
            if entry.get("input") not in inputs:
                yield f"pictures.{part}[{index}].input", f"{entry['input']!r} is not in inputs.names"


def _broken_attribution(
    attribution: Mapping[str, Any], units: set[str], inputs: set[str | None]
) -> Iterator[tuple[str, str]]:
    for part, keys in _ATTRIBUTED.items():
        for index, entry in enumerate(attribution.get(part, ())):
            place = f"attribution.{part}[{index}]"
            if "unit" in keys and entry["unit"] not in units:
                yield f"{place}.unit", f"{entry['unit']!r} is not in units"
            if "input" in keys and entry["input"] not in inputs:
                yield f"{place}.input", f"{entry['input']!r} is not in inputs.names"
        yield from _twice(attribution, part, keys)
    judged = attribution.get("relevance") or {}
    for key in ("folding", "compared"):
        for name in judged.get(key, ()):
            if name not in units:
                yield f"attribution.relevance.{key}", f"{name!r} is not in units"


def _broken_pullback(
    pullback: Mapping[str, Any], units: set[str], inputs: set[str | None]
) -> Iterator[tuple[str, str]]:
    if pullback and pullback["input"] not in inputs:
        yield "pullback.input", f"{pullback['input']!r} is not in inputs.names"
    for index, depth in enumerate(pullback.get("depths", ())):
        if depth["unit"] not in units:
            yield f"pullback.depths[{index}].unit", f"{depth['unit']!r} is not in units"
    yield from ((f"pullback.{place}", problem) for place, problem in _twice(pullback, "depths", ("unit",)))


def _twice(result: Mapping[str, Any], part: str, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    seen = set()
    for index, entry in enumerate(result.get(part, ())):
        key = tuple(entry[name] for name in keys)
        if key in seen:
            yield f"{part}[{index}]", f"a second entry for {key!r}"
        seen.add(key)
