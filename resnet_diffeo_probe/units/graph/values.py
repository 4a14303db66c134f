"""What is written on a tape: values and calls, and the nested containers they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Call", "Value", "map_structure", "plain", "spelling", "tensors_in"]


@dataclass(eq=False)
class Value:
    """What is in a tensor between two writes.

    Attributes:
        shape: with the batch that was taped.
        dtype: the tensor's dtype.
        data: whether it depends on the model's input.
        leaf: `"input"`, the name of a parameter or buffer, or a tensor that came from elsewhere; None for
            results.
        next_shape: the shape when one more sample is taped, if that was done.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    data: bool
    leaf: str | Tensor | None = None
    next_shape: tuple[int, ...] | None = None


@dataclass(eq=False)
class Call:
    """One operation.

    Attributes:
        function: what was called.
        args: positional arguments, tensors replaced by their values.
        kwargs: keyword arguments, likewise.
        results: (path into the function's result, value) for every tensor in it; path `()` is the result
            itself.
        owner: the name of the innermost module that was running.
        writes: whether the function is an in-place one whose single result replaces its target.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[tuple[tuple[int, ...], Value]]
    owner: str
    writes: bool = False


def map_structure(change: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `change` to every leaf of nested tuples, lists, dicts and slices."""
    if isinstance(tree, (tuple, list)):
        items = [map_structure(change, item) for item in tree]
        return items if isinstance(tree, list) else tuple(items)
    if isinstance(tree, dict):
        return {key: map_structure(change, item) for key, item in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_structure(change, part) for part in (tree.start, tree.stop, tree.step)))
    return change(tree)


def plain(output: Any) -> Any:
    """Return a model's output in plain containers: dicts, lists and tuples of tensors, numbers and None.

    Mappings (`OrderedDict`, the output classes of Hugging Face) and data classes become dicts without their
    empty entries, named tuples become tuples, anything else None.
    """
    if isinstance(output, Mapping):
        return {str(key): plain(item) for key, item in output.items() if item is not None}
    if is_dataclass(output) and not isinstance(output, type):
        return plain({part.name: getattr(output, part.name) for part in fields(output)})
    if isinstance(output, (tuple, list)):
        items = [plain(item) for item in output]
        return items if isinstance(output, list) else tuple(items)
    return output if isinstance(output, (Tensor, int, float, str, bool)) else None


def spelling(function: Callable[..., Any]) -> str:
    """Return the bare name of a function: `add_`, `chunk`, `T`; an operator's without its overload."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":  # reading an attribute of a tensor
        return str(getattr(getattr(function, "__self__", None), "__name__", ""))
    return name.split(".", maxsplit=1)[0]


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested containers, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for item in tree:
            yield from tensors_in(item)
    elif isinstance(tree, dict):
        yield from tensors_in(list(tree.values()))
