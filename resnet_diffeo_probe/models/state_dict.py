"""The state dict inside whatever a checkpoint holds: found, stripped of wrappers' prefixes, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resnet_diffeo_probe.errors import LoadError

__all__ = ["StateDict", "check_finite", "find"]

# the keys under which trainers store weights, the most specific first
_NESTED = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "net_state_dict",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "model",
    "net",
    "network",
    "ema",
    "module",
    "weights",
    "params",
    "backbone",
)
# what torch.nn.DataParallel, torch.compile, Lightning and the like put before every name
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "resnet.")
_NOT_WEIGHTS = frozenset({"n_averaged"})  # torch.optim.swa_utils.AveragedModel's counter
_DEEPEST = 4
# weights that are tied are stored once; in float32 they may take this many times the file's numbers
_MOST_SHARED = 32
_SMALL = 2**28


@dataclass
class StateDict:
    """The tensors of a checkpoint by name, or the whole module that was found in its place.

    Attributes:
        tensors: name → tensor on the CPU; floating-point ones are float32.
        where: "" if the file is the state dict itself, else the keys that lead to it, e.g. `"key 'state_dict'"`.
        notes: what was chosen, stripped or converted.
        module: a pickled module, if that is what the (trusted) file holds; then `tensors` is empty.
        metadata: text that the file carries beside the tensors.
    """

    tensors: dict[str, Tensor]
    where: str = ""
    notes: list[str] = field(default_factory=list)
    module: nn.Module | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def find(content: Any, path: Path) -> StateDict:
    """Return the state dict in what a checkpoint holds.

    Args:
        content: what `torch.load` or safetensors returned.
        path: the file, for messages.

    Raises:
        LoadError: there is no tensor with a name in it.
    """
    if isinstance(content, nn.Module):
        return StateDict({}, module=content)
    keys = _route(content, _DEEPEST)
    if keys is None:
        raise _nothing_found(content, path)
    chosen: Any = content
    for key in keys:
        chosen = chosen[key]
    notes: list[str] = []
    if isinstance(content, Mapping) and len(keys) == 1:
        others = [k for k in _NESTED if k != keys[0] and k in content and _route(content[k], 1) is not None]
        if others:
            notes.append(
                f"the checkpoint also holds weights under {', '.join(map(repr, others))}; "
                f"those under {keys[0]!r} are used"
            )
    where = "key " + " → ".join(map(repr, keys)) if keys else ""
    if isinstance(chosen, nn.Module):
        return StateDict({}, where, notes, module=chosen)
    tensors = {k: v.detach() for k, v in chosen.items() if isinstance(k, str) and isinstance(v, Tensor)}
    left_out = [k for k in chosen if not (isinstance(k, str) and isinstance(chosen[k], Tensor))]
    if left_out:
        notes.append(f"{len(left_out)} entries that are no tensors were left out: {_few(left_out)}")
    tensors, prefix_notes = _strip(tensors)
    tensors, precision_notes = _to_float32(tensors, path)
    return StateDict(tensors, where, notes + prefix_notes + precision_notes)


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise a `LoadError` that names every tensor with a NaN or an infinity in it."""
    bad = [
        (name, int((~torch.isfinite(t)).sum()), t.numel())
        for name, t in tensors.items()
        if t.is_floating_point() and not bool(torch.isfinite(t).all())
    ]
    if not bad:
        return
    named = "; ".join(f"{name} ({count} of {total})" for name, count, total in bad[:5])
    more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
    raise LoadError(
        f"{path} holds weights that are NaN or infinite",
        why=f"{named}{more}",
        fix="use a checkpoint from before the training diverged (or, for half precision, before it overflowed)",
        code="weights-not-finite",
    )


def _route(content: Any, depth: int) -> tuple[Any, ...] | None:
    """Return the keys from `content` to its state dict (or module); None if there is none within `depth`."""
    if isinstance(content, nn.Module):
        return ()
    if not isinstance(content, Mapping) or depth == 0:
        return None
    for key in _NESTED:
        if key in content and (rest := _route(content[key], depth - 1)) is not None:
            return (key, *rest)
    if any(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return ()
    # an unusual key: the mapping with the most tensors, optimisers' states aside (their keys are numbers)
    best: tuple[Any, ...] | None = None
    most = 0
    for key, value in content.items():
        if isinstance(value, Mapping) and (rest := _route(value, depth - 1)) is not None:
            inner: Any = value
            for step in rest:
                inner = inner[step]
            if (
                isinstance(inner, Mapping)
                and (count := sum(isinstance(v, Tensor) for v in inner.values())) > most
            ):
                best, most = (key, *rest), count
    return best


def _strip(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Remove what wrappers put before (or, for torch.compile, inside) the names."""
    notes: list[str] = []
    dropped = [name for name in tensors if name in _NOT_WEIGHTS]
    tensors = {name: t for name, t in tensors.items() if name not in _NOT_WEIGHTS}
    if dropped:
        notes.append(f"left out {_few(dropped)}: bookkeeping of weight averaging")
    removed: list[str] = []
    while prefix := next((p for p in _PREFIXES if tensors and all(n.startswith(p) for n in tensors)), None):
        tensors = {name[len(prefix) :]: t for name, t in tensors.items()}
        removed.append(prefix)
    if any("_orig_mod." in name for name in tensors):
        tensors = {name.replace("_orig_mod.", ""): t for name, t in tensors.items()}
        removed.append("_orig_mod.")
    if removed:
        notes.append(f"the prefix {''.join(removed)!r} was removed from the names")
    return tensors, notes


def _to_float32(tensors: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Convert floating-point tensors to float32 on the CPU, and say so."""
    _check_total(tensors, path)
    found: dict[str, int] = {}
    converted: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.is_quantized or tensor.is_complex() or tensor.layout != torch.strided:
            raise LoadError(
                f"{path} holds a {tensor.dtype} {tensor.layout} tensor, {name}",
                why="quantised, complex and sparse weights have no real float32 Jacobian to probe",
                fix="give the float checkpoint that it was made from",
                code="weights-not-real",
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            dtype = str(tensor.dtype).removeprefix("torch.")
            found[dtype] = found.get(dtype, 0) + 1
            tensor = tensor.to(torch.float32)  # noqa: PLW2901 - the same tensor in another precision
        converted[name] = tensor
    notes = []
    for dtype, count in found.items():
        how = "rounded" if dtype == "float64" else "widened"
        notes.append(f"{count} tensors in {dtype} were {how} to float32")
    return converted, notes


def _check_total(tensors: dict[str, Tensor], path: Path) -> None:
    """Raise if the tensors share their numbers so much that converting them would fill the memory."""
    stored = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors.values() if _is_dense(t)
    }
    wanted = sum(4 * t.numel() for t in tensors.values() if _is_dense(t))
    if wanted > max(_MOST_SHARED * sum(stored.values()), _SMALL):
        raise LoadError(
            f"{path} holds {len(tensors)} tensors that take {wanted / 2**30:.1f} GiB, and numbers for "
            f"{sum(stored.values()) / 2**20:.1f} MiB",
            why="they share their numbers: the file is damaged, or built to fill the memory",
            fix="save each weight with tensor.clone()",
            code="weights-not-real",
        )


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_quantized


def _few(names: list[Any]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _nothing_found(content: Any, path: Path) -> LoadError:
    """Return the error for a file whose content holds no named tensor."""
    if isinstance(content, Tensor):
        shape = tuple(content.shape)
        return LoadError(
            f"{path} holds one tensor of shape {shape}, not a model",
            why="a model's weights are a dictionary of named tensors",
            fix="pass it with --inputs if these are images; give a checkpoint as the model",
            code="no-weights",
        )
    if isinstance(content, Mapping):
        why = f"its keys are {_few(list(content))}" if content else "it is an empty dictionary"
    else:
        why = f"it holds a {type(content).__name__}"
    return LoadError(
        f"{path} holds no named tensors",
        why=why,
        fix='save the weights with torch.save(model.state_dict(), "model.pt")',
        code="no-weights",
    )
