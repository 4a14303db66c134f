"""Fixtures of the report's tests: results made to measure, and a parser that insists on well-formed pages."""

import copy
import functools
from html.parser import HTMLParser

import pytest

from . import sample


@pytest.fixture(scope="session")
def make():
    """The generator of results."""
    return sample.make_result


@pytest.fixture(scope="session")
def make_full():
    """The same with witnesses, certificates, references and refinements."""
    return functools.partial(sample.make_result, parts=sample.EVIDENCE)


@pytest.fixture(scope="session")
def make_pictured():
    """The same with pictures."""
    return functools.partial(sample.make_result, parts=(*sample.EVIDENCE, *sample.PICTURES))


@pytest.fixture(scope="session")
def stored_picture():
    """An array as a stored picture."""
    return sample.picture


@pytest.fixture(scope="session")
def evil_names():
    return list(sample.EVIL_NAMES)


@pytest.fixture(scope="session")
def _typical():
    return sample.make_result()


@pytest.fixture
def result(_typical):
    """A result of 16 units and 8 inputs, free to be changed."""
    return copy.deepcopy(_typical)


class Document(HTMLParser):
    """A parsed page that insists on balanced tags: what the tests ask of it, in attributes."""

    VOID = frozenset(("meta", "link", "input", "img", "br", "hr", "col", "use", "path", "rect"))

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._rows: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.stack == [], f"left open: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {self.get_starttag_text()}"
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "table":
            self._rows.append([])
            self.tables[found.get("id") or f"table {len(self.tables)}"] = self._rows[-1]
        elif tag == "tr":
            self._rows[-1].append([])
        elif tag in ("td", "th"):
            self._rows[-1][-1].append("")
        if tag == "script":
            self.scripts.append((found, ""))
        if tag not in self.VOID or "svg" in self.stack:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack[-1] == tag, f"</{tag}> closes {self.stack[-3:]}, {self.getpos()}"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if "script" in self.stack:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif "style" not in self.stack:
            self.text += data
            if {"td", "th"} & set(self.stack):
                self._rows[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element with this tag."""
        return [attrs for name, attrs in self.elements if name == tag]

    def values(self, attribute: str) -> list[str]:
        """Return every value of an attribute."""
        return [attrs[attribute] or "" for _, attrs in self.elements if attribute in attrs]


@pytest.fixture(scope="session")
def parse():
    return Document
