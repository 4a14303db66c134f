"""The tape: one forward pass of a module written down as a list of functional calls.

A tensor object is a *place* that can be written more than once; a :class:`Value` is written once. The tape
keeps, for every tensor the model holds, the value that is in it now. An operation in place gives its place
a new value, and so does it to every view of the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from resnet_diffeo_probe.units.graph import functional
from resnet_diffeo_probe.units.graph.values import Call, Value, map_structure, plain, spelling, tensors_in

__all__ = ["Tape"]

# Results of these depend on the numbers in a tensor, and leave the world of tensors (or decide how large one is): the
# tape follows the path taken.
_READS = frozenset(
    [
        "item",
        "tolist",
        "numpy",
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "__complex__",
        "__contains__",
        "__array__",
        "is_nonzero",
        "equal",
        "allclose",
        "_local_scalar_dense",
        "nonzero",
        "argwhere",
        "masked_select",
        "unique",
        "unique_consecutive",
    ]
)
# Results of these depend on the shape of their arguments, not on their numbers.
_SHAPE_ONLY = frozenset(
    [
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "new_tensor",
        "rand_like",
        "randn_like",
    ]
)
# These take the form of their second argument, and the numbers of the first.
_LIKE = frozenset(["expand_as", "view_as", "reshape_as"])
_RESHAPES = frozenset(
    ["view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "detach"]
)


@dataclass(eq=False)
class _Place:
    """A tensor object on the tape; a view knows the place it looks into and how it was made."""

    value: Value
    base: _Place | None = None
    call: Call | None = None
    path: tuple[int, ...] = ()
    views: list[_Place] = field(default_factory=list)


def _located(tree: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
    elif isinstance(tree, (tuple, list)):
        for position, item in enumerate(tree):
            yield from _located(item, (*path, position))


def _version(tensor: Tensor) -> int:
    # inference tensors have no version counter; nothing in place may happen to them outside inference mode
    return 0 if tensor.is_inference() else tensor._version


def _memory(tensor: Tensor) -> int | None:
    try:
        return tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # sparse and opaque layouts have no single storage
        return None


def _written_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[Tensor]:
    """Return the arguments that an operator's schema says it writes to (none for Python-level functions)."""
    schema = getattr(function, "_schema", None)
    if schema is None:
        return []
    written: list[Tensor] = []
    for position, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[position] if position < len(args) else kwargs.get(argument.name)
            written.extend(tensors_in(given))
    return written


def _spelled_out(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Spell `a.to(b)` and `a.type_as(b)` without b, of which only dtype and device matter."""
    rest = dict(kwargs)
    other = args[1] if len(args) > 1 else rest.pop("other", rest.get("tensor"))
    if not isinstance(other, Tensor):
        return args, kwargs
    rest.pop("tensor", None)
    return (args[0], other.device, other.dtype, *args[2:]), rest


class Tape:
    """The calls of one forward pass, and who owns them.

    Args:
        model: the module that is about to run.
        example: its input.

    Attributes:
        calls: every operation with a tensor result, in execution order.
        input: the value of the example.
        output: the module's result, tensors replaced by values; mappings and data classes become plain dicts.
        result: the same with its tensors.
        reads: names of modules that turned numbers of a tensor into Python values (the tape holds for this
            path).
        read: the values whose numbers these were.
    """

    def __init__(self, model: nn.Module, example: Tensor):
        self.calls: list[Call] = []
        self.reads: list[str] = []
        self.read: list[Value] = []
        self.output: Any = None
        self.result: Any = None
        self._places: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._stack: list[str] = []
        # compiled modules do not say which of their parts is running: their operations go by their parameters
        self._module_names = {
            id(module): "" if isinstance(module, torch.jit.ScriptModule) else name
            for name, module in model.named_modules()
        }
        self._leaf_names: dict[int, str] = {}
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self._leaf_names.setdefault(id(tensor), name)
        self.input = Value(tuple(example.shape), example.dtype, data=True, leaf="input")
        self._places[example] = _Place(self.input)

    def enter(self, module: nn.Module) -> None:
        """Note that `module` starts to run."""
        outer = self._stack[-1] if self._stack else ""
        self._stack.append(self._module_names.get(id(module), outer))

    def leave(self) -> None:
        """Note that the innermost module has ended."""
        if self._stack:
            self._stack.pop()

    def finish(self, output: Any) -> None:
        """Keep the module's result."""
        self.result = plain(output)
        self.output = map_structure(self._read, self.result)

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function and write down what it did.

        Args:
            function: a torch function, tensor method or operator.
            args: its arguments as the model gave them.
            kwargs: its keyword arguments.

        Returns:
            The function's own result.
        """
        name = spelling(function)
        if name == "__iter__":  # an iterator would hand out tensors that the tape never saw
            return iter(self.run(torch.unbind, (args[0], 0), {}))
        if name in {"to", "type_as"}:
            args, kwargs = _spelled_out(args, kwargs)
            function = torch.Tensor.to
        given = [*tensors_in(args), *tensors_in(kwargs)]
        before = [_version(tensor) for tensor in given]
        call = Call(
            function,
            map_structure(self._read, tuple(args)),
            map_structure(self._read, {key: item for key, item in kwargs.items() if key != "out"}),
            [],
            self._stack[-1] if self._stack else "",
        )
        numbers = given[:1] if name in _LIKE else given
        data = name not in _SHAPE_ONLY and any(self._place(tensor).value.data for tensor in numbers)
        result = function(*args, **kwargs)
        if data and name in _READS:
            self.reads.append(call.owner)
            self.read += [self._place(tensor).value for tensor in given]
        written: list[Tensor] = [
            tensor for tensor, version in zip(given, before, strict=True) if _version(tensor) != version
        ]
        written += _written_arguments(function, args, kwargs)
        target = self._target(name, args, result, written)
        if target is not None:
            self._write(call, target, data)
            return result
        fresh = [
            (path, tensor) for path, tensor in _located(result) if not any(tensor is old for old in given)
        ]
        if fresh:
            self.calls.append(call)
        for path, tensor in fresh:
            self._create(call, path, tensor, given, data)
        return result

    @staticmethod
    def _target(name: str, args: tuple[Any, ...], result: Any, written: list[Tensor]) -> Tensor | None:
        """Return the tensor whose place the call's result takes, if the call is an in-place one."""
        if not written:
            return None
        if isinstance(result, Tensor):
            # a new result beside a written argument is a side effect: running statistics
            return next((tensor for tensor in written if tensor is result), None)
        return args[0] if name == "__setitem__" or result is None else written[0]

    def _read(self, item: Any) -> Any:
        return self._place(item).value if isinstance(item, Tensor) else item

    def _place(self, tensor: Tensor) -> _Place:
        place = self._places.get(tensor)
        if place is None:
            leaf = self._leaf_names.get(id(tensor), tensor)
            place = _Place(Value(tuple(tensor.shape), tensor.dtype, data=False, leaf=leaf))
            self._places[tensor] = place
        return place

    def _create(
        self, call: Call, path: tuple[int, ...], tensor: Tensor, given: list[Tensor], data: bool
    ) -> None:
        value = Value(tuple(tensor.shape), tensor.dtype, data)
        call.results.append((path, value))
        place = _Place(value)
        memory = _memory(tensor)
        if memory is not None:
            base = next((self._place(old) for old in given if _memory(old) == memory), None)
            if base is not None:
                place.base, place.call, place.path = base, call, path
                base.views.append(place)
        self._places[tensor] = place

    def _write(self, call: Call, target: Tensor, data: bool) -> None:
        place = self._place(target)
        call.writes = True
        value = Value(tuple(target.shape), target.dtype, data or place.value.data)
        call.results.append(((), value))
        self.calls.append(call)
        if tuple(target.shape) != place.value.shape:  # squeeze_, t_, resize_: the place itself changes form
            place.base, place.call = None, None
        place.value = value
        self._refresh_views(place)
        self._refresh_base(place, call.owner)

    def _refresh_views(self, place: _Place, but: _Place | None = None) -> None:
        for view in place.views:
            if view is but or view.call is None:
                continue
            old = view.call
            again = Call(old.function, (place.value, *old.args[1:]), old.kwargs, [], old.owner)
            view.value = Value(view.value.shape, view.value.dtype, place.value.data)
            again.results.append((view.path, view.value))
            self.calls.append(again)
            self._refresh_views(view)

    def _refresh_base(self, place: _Place, owner: str) -> None:
        base, made = place.base, place.call
        if base is None or made is None:
            return
        args: tuple[Any, ...]
        function: Callable[..., Any]
        kwargs: dict[str, Any] = {}
        name = spelling(made.function)
        if name == "__getitem__":
            function, args = functional.setitem, (base.value, made.args[1], place.value)
        elif name in _RESHAPES:
            function, args = torch.reshape, (place.value, base.value.shape)
        else:
            function = functional.write_through
            args = (base.value, place.value, name, place.path, *made.args[1:])
            kwargs = made.kwargs
        value = Value(base.value.shape, base.value.dtype, base.value.data or place.value.data)
        self.calls.append(Call(function, args, kwargs, [((), value)], owner))
        base.value = value
        self._refresh_views(base, but=place)
        self._refresh_base(base, owner)
