"""What a model file is, told from its first bytes, without running or unpickling anything."""

from __future__ import annotations

import tarfile
import zipfile
from enum import Enum
from pathlib import Path

from resnet_diffeo_probe.errors import LoadError
from resnet_diffeo_probe.inputs.text_file import first_line
from resnet_diffeo_probe.inputs.unpacking import is_bomb
from resnet_diffeo_probe.nearest import why_not_found

__all__ = ["FileKind", "identify"]


class FileKind(Enum):
    """The formats that `load` can tell apart; the value is what a report calls them."""

    SAFETENSORS = "safetensors"
    TORCH_ZIP = "PyTorch checkpoint"
    TORCH_LEGACY = "PyTorch checkpoint (format before 1.6)"
    TORCH_TAR = "PyTorch checkpoint (tar format before 0.1.10)"
    PICKLE = "plain pickle"
    TORCHSCRIPT = "TorchScript archive"
    EXPORTED = "exported program (.pt2)"


# torch.serialization.MAGIC_NUMBER as protocol 2 writes it: the first pickle of the stream
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_FOREIGN = (
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes it"),
    (b"\x1f\x8b", "gzip-compressed: unpack it first"),
    (b"BZh", "bzip2-compressed: unpack it first"),
    (b"\xfd7zXZ\x00", "xz-compressed: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file, which holds quantised language models"),
    (b"%PDF", "a PDF document"),
)
_SAVE_HINT = 'save the weights with torch.save(model.state_dict(), "model.pt")'


def identify(path: Path) -> FileKind:
    """Return what the file is.

    Args:
        path: the file to look at; it is read, never executed.

    Raises:
        LoadError: there is no such file, it is a folder, empty, unreadable, damaged, or no model.
    """
    try:
        _check_exists(path)
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError as error:
        raise LoadError(
            f"{path} cannot be read",
            why=error.strerror or str(error),
            fix=f'check its permissions: ls -l "{path}"',
            code="file-unreadable",
        ) from error
    if size == 0:
        raise LoadError(
            f"{path} is empty",
            why="it holds 0 bytes: a download or a save that never finished",
            fix="fetch or save the file again",
            code="file-empty",
        )
    if head.startswith(b"PK\x03\x04"):
        return _identify_zip(path)
    _check_not_text(path, head, size)
    if _is_safetensors(head, size):
        return FileKind.SAFETENSORS
    if head.startswith(_LEGACY_MAGIC):
        return FileKind.TORCH_LEGACY
    if head[257:262] == b"ustar" and tarfile.is_tarfile(path):
        return FileKind.TORCH_TAR
    if len(head) > 1 and head[0] == 0x80 and head[1] in range(2, 6):
        return FileKind.PICKLE
    what = next((words for magic, words in _FOREIGN if head.startswith(magic)), None)
    if what is None and path.suffix == ".safetensors":
        what = "damaged or no safetensors file: its header does not fit into the file"
    raise LoadError(
        f"{path} is not a model file that PyTorch can read",
        why=f"it is {what}" if what else f"its first bytes are {head[:8]!r}",
        fix=f"in the program that has the model, {_SAVE_HINT}",
        code="not-a-model-file",
    )


def _check_exists(path: Path) -> None:
    """Raise unless the path is a file; name the files that a slip of the finger may have meant."""
    if path.is_dir():
        inside = sorted(
            p.name
            for p in path.iterdir()
            if p.suffix in {".pt", ".pth", ".th", ".pt2", ".safetensors", ".ckpt", ".bin"}
        )
        raise LoadError(
            f"{path} is a folder, not a model file",
            why=f"it holds {', '.join(inside[:5])}" if inside else "no model file was found directly inside",
            fix=f"give the file itself: {path / inside[0]}" if inside else "give the path of one model file",
            code="file-is-a-folder",
        )
    if path.is_file():
        return
    if path.exists():
        raise LoadError(
            f"{path} is not a regular file",
            why="it is a pipe, a socket or a device",
            fix="give the path of a model file on disk",
            code="not-a-regular-file",
        )
    why, fix = why_not_found(path, "check the path for a typing error")
    raise LoadError(f"{path} does not exist", why=why, fix=fix, code="file-not-found")


def _identify_zip(path: Path) -> FileKind:
    """Return which of the zip-based formats this is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise LoadError(
            f"{path} is cut off or damaged",
            why=f"it begins as a checkpoint's zip archive, but the archive's directory is missing ({error})",
            fix="download or save the file again, and compare its size with the original's",
            code="file-truncated",
        ) from error
    if is_bomb(unpacked, path.stat().st_size):
        raise LoadError(
            f"{path} would unpack to {unpacked / 2**30:.1f} GiB",
            why=f"it has {path.stat().st_size / 2**20:.1f} MiB: a decompression bomb, or a damaged archive",
            fix="unpack the archive and give the model file inside, if you trust its source",
            code="file-unpacks-too-large",
        )
    members = {name.partition("/")[2] or name for name in names}
    if {"archive_format", "archive_version"} & members or "serialized_exported_program.json" in names:
        return FileKind.EXPORTED
    if "data.pkl" in members:
        return FileKind.TORCHSCRIPT if "constants.pkl" in members else FileKind.TORCH_ZIP
    raise LoadError(
        f"{path} is a zip archive, but not a PyTorch model",
        why="it has no data.pkl and no exported program; its first members are "
        + (", ".join(repr(name) for name in names[:3]) or "none"),
        fix="unpack it and give the model file inside",
        code="not-a-model-file",
    )


def _is_safetensors(head: bytes, size: int) -> bool:
    """Return whether a JSON header of the announced length fits into the file."""
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= size - 8 and head[8:9] == b"{"


def _check_not_text(path: Path, head: bytes, size: int) -> None:
    """Raise for web pages, git-LFS pointers and other text, each with its own remedy."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<body", b"<script")):
        raise LoadError(
            f"{path} is a web page, not a model",
            why="the download saved an HTML page: often a login, a consent or an error page",
            fix="open the link in a browser to see the page, then download the file itself "
            "(on GitHub the 'raw' link, on Hugging Face 'resolve' in place of 'blob')",
            code="file-is-html",
        )
    if start.startswith(b"version https://git-lfs.github.com/"):
        raise LoadError(
            f"{path} is a git-LFS pointer, not the model",
            why=f"its {size} bytes only say where the real file is stored",
            fix=f'git lfs install && git lfs pull --include "{path.name}"',
            code="file-is-lfs-pointer",
        )
    if (first := first_line(head, size)) is not None:
        raise LoadError(
            f"{path} is a text file, not a model",
            why=f"it begins with {first!r}",
            fix=f"give the file of weights; to make one, {_SAVE_HINT}",
            code="file-is-text",
        )
