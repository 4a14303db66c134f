"""Sentences with citations and formulas, written as HTML, Markdown or LaTeX."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from resnet_diffeo_probe.report.text.escaping import visible
from resnet_diffeo_probe.report.text.works import WORKS, Work

__all__ = [
    "FORMULAS",
    "Cite",
    "Formula",
    "Name",
    "Piece",
    "cited",
    "compose",
    "to_html",
    "to_latex",
    "to_markdown",
]


@dataclass(frozen=True, slots=True)
class Cite:
    """A citation of a work, by its key."""

    key: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula of `FORMULAS`, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Name:
    """A name that stands out; it came from a file and is not trusted."""

    text: str


Piece = str | Cite | Formula | Name

#: By name: as text, and in LaTeX's mathematical mode.
FORMULAS: dict[str, tuple[str, str]] = {
    "unit": ("y = a(s(x) + F(x))", "y = a(s(x) + F(x))"),
    "sum": ("x + F(x)", "x + F(x)"),
    "branch": ("F", "F"),
    "jacobian": ("J", "J"),
    "det": ("|det J|", r"|\det J|"),
    "sylvester": ("det(I + AB) = det(I + BA)", r"\det(I + AB) = \det(I + BA)"),
    "step": ("h* = −1/λ", r"h^{*} = -1/\lambda"),
    "lambda": ("λ", r"\lambda"),
}

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#+!|$~^&])")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "\u00a0": "~", "×": r"$\times$", "−": "$-$", "·": r"$\cdot$",
    "≤": r"$\le$", "≥": r"$\ge$", "≠": r"$\ne$", "‖": r"$\|$", "σ": r"$\sigma$", "’": "'", "–": "--", "…": r"\dots{}",
    "`": r"\textasciigrave{}",
}  # fmt: skip


def compose(sentence: str, **pieces: Piece | Sequence[Piece]) -> list[Piece]:
    """Return a sentence with its places in braces filled by pieces.

    Args:
        sentence: of this package, with places such as `{matrix}`.
        pieces: what stands there: one piece, or several.
    """
    found: list[Piece] = []
    for text, name, _, _ in string.Formatter().parse(sentence):
        if text:
            found.append(text)
        if name is not None:
            piece = pieces[name]
            found += [piece] if isinstance(piece, str | Cite | Formula | Name) else list(piece)
    return found


def cited(paragraphs: Iterable[Iterable[Piece]]) -> list[Work]:
    """Return the works that are cited, in the order of their first citation."""
    keys = [piece.key for paragraph in paragraphs for piece in paragraph if isinstance(piece, Cite)]
    return [WORKS[key] for key in dict.fromkeys(keys)]


def to_html(pieces: Iterable[Piece], works: Sequence[Work]) -> Markup:
    """Return a paragraph's content; citations are links to `#reference-<number>`."""
    places = {work.key: place for place, work in enumerate(works, 1)}

    def write(piece: Piece) -> Markup:
        if isinstance(piece, Cite):
            return Markup('<a class="cite" href="#reference-{0}">[{0}]</a>').format(places[piece.key])
        if isinstance(piece, Formula):
            return Markup("<i>{}</i>").format(FORMULAS[piece.name][0])
        return Markup("<b>{}</b>").format(piece.text) if isinstance(piece, Name) else Markup.escape(piece)

    return Markup("").join(map(write, pieces))


def to_markdown(paragraphs: Sequence[Sequence[Piece]], works: Sequence[Work]) -> str:
    """Return the text with numbered citations and the references below it."""
    places = {work.key: place for place, work in enumerate(works, 1)}

    def write(piece: Piece) -> str:
        if isinstance(piece, Cite):
            return f"[{places[piece.key]}]"
        if isinstance(piece, Formula):
            return f"${FORMULAS[piece.name][1]}$"
        return f"**{_markdown(piece.text)}**" if isinstance(piece, Name) else _markdown(piece)

    body = _written(paragraphs, write)
    references = [f"{places[work.key]}. {_markdown(work.text)} <{work.url}>" for work in works]
    return "\n\n".join(["## Methods", *body, "## References", "\n".join(references)]) + "\n"


def to_latex(paragraphs: Sequence[Sequence[Piece]]) -> str:
    r"""Return the text with `\cite`; the works are in the BibTeX entries."""

    def write(piece: Piece) -> str:
        if isinstance(piece, Cite):
            return rf"\cite{{{piece.key}}}"
        if isinstance(piece, Formula):
            return f"${FORMULAS[piece.name][1]}$"
        return rf"\textbf{{{_latex(piece.text)}}}" if isinstance(piece, Name) else _latex(piece)

    return "\n\n".join([r"\section*{Methods}", *_written(paragraphs, write)]) + "\n"


def _written(paragraphs: Sequence[Sequence[Piece]], write: Callable[[Piece], str]) -> list[str]:
    return ["".join(map(write, paragraph)).strip() for paragraph in paragraphs]


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", visible(text))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in visible(text))
