"""Two analyses side by side: which differences of how they were made forbid a comparison, and which are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resnet_diffeo_probe.errors import DiffeoProbeError

__all__ = ["ComparisonError", "conditions", "require_comparable"]

Result = Mapping[str, Any]

# Of the inputs, what makes them other points; where it differs no difference of numbers is one of the models.
_FORBIDDEN = (
    ("kind of inputs", ("inputs", "kind")),
    ("shape of an input", ("inputs", "shape")),
    ("mean", ("inputs", "preprocessing", "mean")),
    ("standard deviation", ("inputs", "preprocessing", "std")),
    ("size", ("inputs", "preprocessing", "size")),
)
# What a reader must know, with what it may do to the numbers.
_TOLD = (
    ("architecture", ("model", "architecture"), "units of one name may be different maps"),
    ("arithmetic", ("tool", "dtype"), "differences of the size of the coarser rounding are to be expected"),
    ("device", ("tool", "device"), "sums in another order: differences of the size of rounding"),
    ("version of diffeo-probe", ("tool", "version"), "a measure may have been computed in another way"),
    ("source of the inputs", ("inputs", "source"), "inputs of one name may be different images"),
    ("seed", ("tool", "seed"), "estimates start from other random vectors"),
    ("budget", ("tool", "configuration", "budget"), "verdicts rest on more evidence in one of them"),
    ("PyTorch", ("tool", "environment", "torch"), "convolutions may be summed in another order"),
)


class ComparisonError(DiffeoProbeError):
    """Two analyses that cannot be compared."""

    code = "compare"


def require_comparable(a: Result, b: Result) -> None:
    """Refuse two analyses whose numbers belong to different inputs, or that share nothing.

    Args:
        a: the reference; valid, as is `b`.
        b: what is compared with it.

    Raises:
        ComparisonError: names what differs.
    """
    asked = list(_FORBIDDEN)
    if a["inputs"]["kind"] == "synthetic":
        asked.append(("seed of the synthetic inputs", ("inputs", "seed")))
    for subject, path in asked:
        of_a, of_b = _at(a, path), _at(b, path)
        if _same(of_a) != _same(of_b):
            raise ComparisonError(
                f"the two analyses were made at different inputs: {subject} {_words(of_a)} in A, {_words(of_b)} in B",
                why="differences are taken input by input; between different inputs they would not be the models'",
                fix="analyse the second model again with the inputs and the preprocessing of the first",
                code="compare-other-inputs",
            )
    for subject, names in (
        ("unit", lambda result: [unit["name"] for unit in result["units"]]),
        ("input", lambda result: result["inputs"]["names"]),
        ("quantity", lambda result: [row["quantity"] for row in result["measurements"]]),
    ):
        of_a, of_b = names(a), names(b)
        if not set(of_a) & set(of_b):
            raise ComparisonError(
                f"the two analyses have no {subject} in common",
                why=f"A has {_few(of_a)}; B has {_few(of_b)}",
                fix="compare two models of one architecture, analysed with the same --inputs, --units and --budget",
                code="compare-nothing-shared",
            )


def conditions(a: Result, b: Result) -> list[dict[str, str]]:
    """Return the differences of how two comparable analyses were made: `subject`, `a`, `b`, `meaning`, all text."""
    return list(_conditions(a, b))


def _conditions(a: Result, b: Result) -> Iterator[dict[str, str]]:
    for subject, path, meaning in _TOLD:
        of_a, of_b = _at(a, path), _at(b, path)
        if of_a != of_b:
            yield {"subject": subject, "a": _words(of_a), "b": _words(of_b), "meaning": meaning}
    names_a, names_b = (each["inputs"]["names"] for each in (a, b))
    if set(names_a) != set(names_b):
        shared = len(set(names_a) & set(names_b))
        yield {
            "subject": "inputs",
            "a": f"{len(names_a)} inputs",
            "b": f"{len(names_b)} inputs",
            "meaning": f"measures are compared at the {shared} that both have; verdicts rest on all of their own",
        }
    digest = a["model"]["sha256"]
    if digest and digest == b["model"]["sha256"]:
        yield {
            "subject": "model",
            "a": a["model"]["file"],
            "b": b["model"]["file"],
            "meaning": "the two files are the same to the byte: differences are not the model's",
        }


def _at(result: Result, path: tuple[str, ...]) -> Any:
    node: Any = result
    for key in path:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _same(value: Any) -> Any:
    """Return a value by which 32 and [32, 32] are one size."""
    return [value, value] if isinstance(value, int) else value


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _few(names: list[str]) -> str:
    every = list(dict.fromkeys(names))
    return ", ".join(every[:5]) + (", …" if len(every) > 5 else "") if every else "none"
