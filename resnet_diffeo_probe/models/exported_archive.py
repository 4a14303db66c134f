"""What in an exported program (.pt2) could run code when it is loaded, found without loading it.

`torch.export.load` is no safe reader. It unpickles sample inputs, flagged weights and constants with full powers
where the restricted reader fails, opens compiled libraries, resolves operators by `getattr` from `torch` on
(`torch.os.system` is one), evaluates shape expressions as Python through sympy, imports the modules that tree
specifications name, and pastes argument names into Python source that it compiles. So an archive is only opened if
each of these places holds nothing but what `torch.export.save` writes for a feed-forward network: a list of what is
allowed, not of what is not.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import torch

from resnet_diffeo_probe.inputs.restricted import load_restricted

__all__ = ["Archive", "suspicions"]

_RECORDS = re.compile(
    r"(models/model\.json|data/(weights|constants)/(weight_\d+|tensor_\d+|model_(weights|constants)_config\.json)"
    r"|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|version|\.data/\w+|extra/.*)"
)
# aten::from_file and aten::save touch files; no other operator of aten reaches beyond its tensors
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file\b|save\b)_?[a-z]\w*\.[A-Za-z]\w*"
    r"|_operator\.(add|sub|mul|floordiv|mod|getitem)",
    re.ASCII,
)
_NAME = re.compile(r"[\w.+-]*", re.ASCII)
_GUARD = re.compile(r"[\w\[\]'\". ()<>=!+*/%,-]*", re.ASCII)
_WORD_IN_EXPRESSION = re.compile(
    r"Symbol|Integer|Float|Rational|positive|nonnegative|integer|True|False|Add|Mul|Pow|Max|Min|Mod|FloorDiv|CeilDiv"
    r"|PythonMod|ModularIndexing|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|evaluate|int_oo|oo|[suz]\d+",
    re.ASCII,
)
_TREE_TYPES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict"})


class Archive:
    """A .pt2 archive in memory: what is inspected is what is loaded.

    Attributes:
        data: the file's bytes.
        names: the records, without the archive's root folder.
        model: the graph, as parsed JSON; empty where there is none.
    """

    def __init__(self, data: bytes):
        from torch.export.pt2_archive import PT2ArchiveReader  # noqa: PLC0415 - slow to import

        self.data = data
        # torch's own reader, since a file can be built that Python's zipfile reads differently
        self._reader = PT2ArchiveReader(io.BytesIO(data))
        self.names: list[str] = self._reader.get_file_names()
        self.model: dict[str, Any] = (
            self.json("models/model.json") if "models/model.json" in self.names else {}
        )

    def read(self, name: str) -> bytes:
        """Return the bytes of one record."""
        return self._reader.read_bytes(name)

    def json(self, name: str) -> dict[str, Any]:
        """Return a record as parsed JSON; `ValueError` if it is no JSON object."""
        content = json.loads(self.read(name))
        if not isinstance(content, dict):
            raise ValueError(f"{name} is no JSON object")
        return content

    def nodes(self) -> list[dict[str, Any]]:
        """Return the operations of the graph."""
        return list(self.model.get("graph_module", {}).get("graph", {}).get("nodes", []))

    def empty_weights(self) -> list[str]:
        """Return the weights whose record is empty although they have numbers: torch would read zeros."""
        name = "data/weights/model_weights_config.json"
        config = self.json(name).get("config", {}) if name in self.names else {}
        empty = []
        for key, payload in config.items():
            sizes = [size.get("as_int", 1) for size in (payload.get("tensor_meta") or {}).get("sizes", [])]
            if 0 not in sizes and not self.read(f"data/weights/{payload.get('path_name')}"):
                empty.append(key)
        return empty


def suspicions(archive: Archive) -> list[str]:
    """Return every reason not to load the archive without the user's consent; empty if there is none."""
    return [
        *_odd_records(archive),
        *_unsafe_pickles(archive),
        *_odd_payloads(archive),
        *_odd_strings(archive.model),
    ]


def _odd_records(archive: Archive) -> Iterator[str]:
    for name in archive.names:
        if name.startswith("data/aotinductor/"):
            yield f"the compiled library {name!r}"
        elif not _RECORDS.fullmatch(name):
            yield f"the record {name!r}"
    # torch falls back to the format of 2.7, whose records lie outside any folder and are read by Python's zipfile
    with zipfile.ZipFile(io.BytesIO(archive.data)) as other:
        roots = {name.partition("/")[0] for name in other.namelist()}
    if len(roots) != 1:
        yield "records outside the archive's folder"


def _unsafe_pickles(archive: Archive) -> Iterator[str]:
    """Records that torch.load would be given: the restricted reader has to be enough for them."""
    for name in archive.names:
        if name.startswith("data/sample_inputs/"):
            content = archive.read(name)
            if content and (problem := _beyond_restricted(content)):
                yield f"{name!r}, a pickle that {problem}"


def _beyond_restricted(content: bytes) -> str | None:
    """Return what a pickle wants beyond tensors, or None."""
    try:
        load_restricted(io.BytesIO(content))
    except Exception as error:  # the pickle may be anything
        try:
            wanted = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
        except Exception:
            wanted = []
        if wanted:
            return f"calls {', '.join(sorted(wanted)[:5])}"
        return f"the restricted reader refuses ({type(error).__name__})"
    return None


def _odd_payloads(archive: Archive) -> Iterator[str]:
    """Weights and constants that are pickles or custom objects instead of plain bytes."""
    for kind in ("weights", "constants"):
        name = f"data/{kind}/model_{kind}_config.json"
        if name not in archive.names:
            continue
        for key, payload in archive.json(name).get("config", {}).items():
            path = str(payload.get("path_name", ""))
            if payload.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\d+", path, re.ASCII):
                yield f"{key!r} in {path!r}, which is not plain numbers"
            if not _NAME.fullmatch(key):
                yield f"the name {key!r}"


def _odd_strings(content: Any, key: str = "", *, in_node: bool = False) -> Iterator[str]:
    """Walk the graph; each string has to be what its place allows."""
    if isinstance(content, dict):
        node = "target" in content and "inputs" in content
        for name, value in content.items():
            if name == "metadata":  # source positions for messages; never evaluated
                continue
            if not _NAME.fullmatch(name) and not _safe_expression(name):
                yield f"the name {name!r}"
            yield from _odd_strings(value, name, in_node=node)
    elif isinstance(content, list):
        for value in content:
            yield from _odd_strings(value, key, in_node=in_node)
    elif isinstance(content, str) and not _allowed(content, key, in_node):
        what = {"target": "the operator", "as_operator": "the operator", "expr_str": "the shape expression"}
        yield f"{what.get(key, key + ' =')} {content[:120]!r}"


def _allowed(text: str, key: str, in_node: bool) -> bool:
    if key == "as_operator" or (key == "target" and in_node):
        return _OPERATOR.fullmatch(text) is not None
    if key == "expr_str":
        return _safe_expression(text)
    if key in {"in_spec", "out_spec"}:
        return _safe_tree(text)
    if key == "guards_code":  # not evaluated: the module is made with check_guards=False
        return _GUARD.fullmatch(text) is not None and "__" not in text
    return _NAME.fullmatch(text) is not None


def _safe_expression(text: str) -> bool:
    """Return whether a sympy expression consists of symbols, numbers and the usual functions alone."""
    if not re.fullmatch(r"[\w (),=<>+*/'-]*", text, re.ASCII):
        return False
    words = re.findall(r"[A-Za-z_]\w*", text)
    return all(_WORD_IN_EXPRESSION.fullmatch(word) for word in words)


def _safe_tree(text: str) -> bool:
    """Return whether a tree specification has tuples, lists and dicts of plain names alone."""
    if text == "":
        return True
    try:
        version, tree = json.loads(text)
    except ValueError:
        return False
    return isinstance(version, int) and _safe_branch(tree)


def _safe_branch(tree: Any) -> bool:
    if not isinstance(tree, dict) or tree.get("type") not in _TREE_TYPES:
        return False
    try:
        context = json.loads(tree.get("context") or "null")
    except (TypeError, ValueError):
        return False
    if context is not None and not isinstance(context, list):
        return False
    if not all(isinstance(name, str) and name.isidentifier() for name in context or ()):
        return False
    return all(_safe_branch(child) for child in tree.get("children_spec", []))
