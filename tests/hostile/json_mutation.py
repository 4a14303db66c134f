"""Damage to JSON: nodes replaced, removed, doubled or renamed, texts and numbers that are never meant well."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["EVIL_TEXTS", "change_node", "rename"]

# an element and an attribute of this name exist in a page only if something was not escaped
EVIL_TEXTS = (
    "<diffeo-evil>",
    "\" diffeo-evil='1' x=\"",
    "' diffeo-evil=\"1\" x='",
    "</script><diffeo-evil>",
    "</title><diffeo-evil></style><diffeo-evil>",
    "<!--<script><diffeo-evil>",
    "javascript:diffeo-evil",
    "{{ 7*7 }}{% diffeo-evil %}",
    "\x1b]0;evil\x07\x1b[2J",
    "\N{RIGHT-TO-LEFT OVERRIDE}lave",
    "line\nbreak\r\ttab",
    "../../../../diffeo-evil",
    "/etc/diffeo-evil",
    "=cmd|' /C calc'!A0",
    "nul\0",
    "\ud800",
    "",
    "x" * 5000,
    "é" * 300,
)


_EVIL_NUMBERS = (0, -1, 1, 2**31, 2**63, 10**40, -(10**18), 0.5, -0.0, 1e308, -1e308, 5e-324, 1e16)


def change_node(tree: Any, chance: random.Random) -> Any:
    """Return a JSON tree in which one node is replaced, removed, doubled, renamed or put elsewhere."""
    nodes: list[tuple[Any, Any]] = []
    found = [tree]
    while found:
        node = found.pop()
        inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in inside:
            nodes.append((node, key))
            found.append(child)
    if not nodes:
        return _evil_value(chance)
    owner, key = chance.choice(nodes)
    what = chance.random()
    if what < 0.45:
        old = owner[key]
        # a value of the same type gets past a schema more often
        owner[key] = (
            chance.choice(EVIL_TEXTS) if isinstance(old, str) and chance.random() < 0.9
            else chance.choice(_EVIL_NUMBERS) if isinstance(old, int | float) and chance.random() < 0.9
            else _evil_value(chance)
        )  # fmt: skip
    elif what < 0.6:
        del owner[key]
    elif what < 0.75:
        other, name = chance.choice(nodes)
        owner[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
    elif isinstance(owner, list):
        owner.insert(key, json.loads(json.dumps(owner[key])))
    else:
        owner[chance.choice((*EVIL_TEXTS[:-1], "value", "name", "status"))] = owner.pop(key)
    return tree


def rename(tree: Any, chance: random.Random) -> Any:
    """Return a JSON tree in which one text is another wherever it stands: a name and all that refer to it."""
    texts = sorted(set(_texts(tree)))
    old, new = chance.choice(texts), chance.choice(EVIL_TEXTS)

    # damage may have nested it deeper than Python calls itself: no recursion
    held = [copy.copy(tree)]
    waiting = [held]
    while waiting:
        owner = waiting.pop()
        for key in list(_keys(owner)):
            child = owner[key]
            if isinstance(child, dict | list):
                owner[key] = copy.copy(child)
                waiting.append(owner[key])
            elif isinstance(child, str) and child == old:
                owner[key] = new
    return held[0]


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _texts(child)


def _keys(owner: Any) -> Any:
    return owner if isinstance(owner, dict) else range(len(owner))


def _evil_value(chance: random.Random) -> Any:
    nested: Any = []
    for _ in range(chance.choice((1, 200))):
        nested = [nested]
    return chance.choice((None, True, [], {}, "", nested, {"a": nested}, chance.choice(EVIL_TEXTS),
                          chance.choice(_EVIL_NUMBERS)))  # fmt: skip
