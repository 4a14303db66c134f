"""Reading what `torch.save`, `pickle` or safetensors wrote, without running a file's code unasked.

A pickle is a program. `torch.load(weights_only=True)` interprets it with a short list of harmless calls; a file
that wants more is refused, unless the user said that it may run.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.inputs.restricted import load_restricted
from resnet_diffeo_probe.models.file_kind import FileKind

__all__ = ["read_checkpoint", "read_safetensors", "wanted_globals"]

_TRUST_HINT = (
    "if you trust whoever made the file, pass --trust-pickle (trust_pickle=True): it may then run any code; "
    'otherwise save the weights alone where the model came from: torch.save(model.state_dict(), "weights.pt")'
)


def read_checkpoint(path: Path, kind: FileKind, *, trust_pickle: bool) -> Any:
    """Return the object in a PyTorch checkpoint or a pickle.

    Args:
        path: the file.
        kind: `TORCH_ZIP`, `TORCH_LEGACY`, `TORCH_TAR` or `PICKLE`.
        trust_pickle: whether the file may run code where it cannot be read without.

    Raises:
        LoadError: the file is damaged, or wants to run code and may not, or names classes that are not here.
    """
    if kind in {FileKind.PICKLE, FileKind.TORCH_TAR}:
        # torch's restricted reader takes neither: trust is the only way
        if not trust_pickle:
            raise _refusal(path, kind)
        return _read_trusted(path, kind)
    try:
        with path.open("rb") as stream:
            return load_restricted(stream)
    except pickle.UnpicklingError as error:
        wanted = wanted_globals(path, kind)
        if not wanted and not _is_restriction(error):
            raise _damaged(path, error) from error
        if not trust_pickle:
            raise _refusal(path, kind, wanted, error) from error
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:  # a damaged file can fail anywhere inside the reader
        raise _damaged(path, error) from error
    return _read_trusted(path, kind)


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return a safetensors file's tensors by name and its text metadata.

    Raises:
        LoadError: the file is damaged.
    """
    import safetensors  # noqa: PLC0415 - only for these files

    try:
        with safetensors.safe_open(str(path), framework="pt", device="cpu") as archive:
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118 - no mapping
            return tensors, dict(archive.metadata() or {})
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:
        raise _damaged(path, error) from error


def wanted_globals(path: Path, kind: FileKind) -> tuple[str, ...]:
    """Return the functions and classes that a checkpoint calls beyond the harmless ones, without running it."""
    try:
        if kind is not FileKind.TORCH_ZIP:
            with path.open("rb") as stream:
                return _globals_in_stream(stream)
        with suppress(Exception):  # torch's own list ends where an opcode is unknown to it
            return tuple(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path))))
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.partition("/")[2] == "data.pkl")
            return _globals_in_stream(io.BytesIO(archive.read(name)))
    except Exception:
        return ()


def _globals_in_stream(stream: IO[bytes]) -> tuple[str, ...]:
    """Disassemble the pickles at the start of a file; a legacy checkpoint is several in a row."""
    harmless = {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    }
    wanted: set[str] = set()
    try:
        while True:
            recent: list[str] = []
            for operation, argument, _ in pickletools.genops(stream):
                if operation.name in {"GLOBAL", "INST"} and isinstance(argument, str):
                    wanted.add(argument.replace(" ", "."))
                elif operation.name == "STACK_GLOBAL" and len(recent) > 1:
                    wanted.add(".".join(recent[-2:]))
                elif isinstance(argument, str):
                    recent.append(argument)
    except Exception:  # noqa: S110 - the raw storages after the pickles end the walk
        pass
    return tuple(sorted(name for name in wanted - harmless if not _is_storage(name)))


def _is_storage(name: str) -> bool:
    return name.startswith("torch.") and name.endswith("Storage")


def _is_restriction(error: pickle.UnpicklingError) -> bool:
    """Return whether torch refused a call, as opposed to not understanding the bytes."""
    return (
        "Unsupported global" in str(error)
        or "Unsupported class" in str(error)
        or "weights_only" in str(error)
    )


def _read_trusted(path: Path, kind: FileKind) -> Any:
    """Unpickle with full powers: the user said so."""
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind is FileKind.PICKLE:
                return pickle.load(stream)  # noqa: S301 - consented to
            return torch.load(stream, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise LoadError(
            f"{path} needs code that is not here",
            why=f"{error}: a pickled module is stored by the name of its class, and the class must be importable",
            fix="run the command in the folder of the code that defines the model, or install its package; "
            "or save the weights alone there: torch.save(model.state_dict(), 'weights.pt')",
            code="pickle-needs-code",
        ) from error
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _refusal(
    path: Path, kind: FileKind, wanted: tuple[str, ...] | None = None, error: Exception | None = None
) -> LoadError:
    """Return the error that says what the file would call, and how to allow it."""
    wanted = wanted_globals(path, kind) if wanted is None else wanted
    if wanted:
        # what is not torch's own says most about the file
        wanted = tuple(sorted(wanted, key=lambda name: (name.startswith("torch."), name)))
        names = ", ".join(wanted[:5]) + (f" and {len(wanted) - 5} more" if len(wanted) > 5 else "")
        why = f"it is a pickle that calls {names}"
    elif kind in {FileKind.PICKLE, FileKind.TORCH_TAR}:
        why = f"it is a {kind.value}, which PyTorch has no safe reader for"
    else:
        why = f"PyTorch's safe reader refused it: {_reason(error)}"
    return LoadError(
        f"{path} would run code while it is read, so it was not opened",
        why=why,
        fix=_TRUST_HINT,
        code="pickle-not-trusted",
    )


def _reason(error: Exception | None) -> str:
    """Return the line of PyTorch's long text that says what it met."""
    lines = str(error).strip().splitlines()
    said = [line.partition("WeightsUnpickler error:")[2].strip() for line in lines]
    return next(filter(None, [*said, *lines]), type(error).__name__)[:200]


def _damaged(path: Path, error: Exception) -> LoadError:
    lines = str(error).strip().splitlines()
    return LoadError(
        f"{path} is cut off or damaged",
        why=f"reading it failed with {type(error).__name__}: {lines[0][:200] if lines else 'no message'}",
        fix="download or save the file again, and compare its size with the original's",
        code="file-truncated",
    )


def _too_large(path: Path) -> LoadError:
    return LoadError(
        f"{path} does not fit into memory",
        why=f"the file has {path.stat().st_size / 2**20:.0f} MiB",
        fix="close other programs, or load it on a machine with more memory",
        code="out-of-memory",
    )
