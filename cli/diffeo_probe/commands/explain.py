"""`diffeo-probe explain`."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import click

from resnet_diffeo_probe.errors import ConfigurationError

if TYPE_CHECKING:
    from resnet_diffeo_probe.analysis.comparing.thresholds import Limit
    from resnet_diffeo_probe.report.text.quantities import Quantity

__all__ = ["Explanation", "explain", "explanations", "forms_of"]

_WIDEST = 100


@dataclass(frozen=True, slots=True)
class Explanation:
    """One thing explained.

    Attributes:
        name: what it is called where a user meets it.
        kind: the heading that it is listed under.
        title: one line.
        parts: label and text, in the order in which they are read.
        also: other forms in which it stands in a report, in a file or on the screen; N is any number.
    """

    name: str
    kind: str
    title: str
    parts: tuple[tuple[str, str], ...]
    also: tuple[str, ...] = ()


@click.command(short_help="What an error code, a verdict, a number or a word of the report means.")
@click.argument("code", required=False)
def explain(code: str | None) -> int:
    """Say what CODE means, why it happens and what to do: the code of an error, a verdict, a status, a quantity, a
    word of the report, a limit of a thresholds file, or an exit code. Without CODE, list all of them; 'thresholds'
    lists the limits.
    """  # noqa: D205 - one paragraph on the page of help
    every = list(explanations())
    if code is None:
        _print_list(every)
        return 0
    wanted = _plain(code)
    found = [each for each in every if wanted == _plain(each.name)] or [
        each for each in every if wanted == _plain(each.kind)
    ]
    if not found:
        found = [each for each in every if forms_of(code) & set(map(_plain, each.also))]
    if not found:
        from resnet_diffeo_probe.nearest import nearest

        names = {_plain(name): each.name for each in every for name in (*each.also, each.name)}
        near = nearest(wanted, names)
        raise ConfigurationError(
            f"there is nothing called '{code}' to explain",
            fix=f"diffeo-probe explain {names[near]}"
            if near
            else "diffeo-probe explain, which lists everything",
            code="unknown-code",
        )
    for place, each in enumerate(found):
        if place:
            click.echo()
        _print_one(each)
    return 0


def explanations() -> Iterator[Explanation]:
    """Yield everything that can be explained: what the package says of itself, and the shipped texts beside it."""
    texts = _shipped("explanations.toml")
    for name, text in texts["errors"].items():
        yield Explanation(name, "errors", text["means"], (("why", text["why"]), ("do", text["do"])))
    yield from _verdicts(texts["verdicts"])
    for name, text in texts["statuses"].items():
        yield Explanation(name, "statuses", text["means"], (("why", text["why"]), ("do", text["do"])))
    yield from _quantities()
    yield from _limits()
    for kind, terms in _shipped("terms.toml").items():
        for name, text in terms.items():
            yield Explanation(
                name, kind, text["means"], (("read", text["read"]),), tuple(text.get("also", ()))
            )
    for name, text in texts["exit-codes"].items():
        yield Explanation(name, "exit codes", text["means"], (("why", text["why"]), ("do", text["do"])))


def _shipped(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(resources.files("diffeo_probe").joinpath(name).read_text(encoding="utf-8"))


def _verdicts(texts: dict[str, dict[str, str]]) -> Iterator[Explanation]:
    from resnet_diffeo_probe.report.text.states import STATES

    for name, state in STATES.items():
        text = texts[name]
        title = f"{state.word.upper()}: {state.meaning}"
        yield Explanation(name, "verdicts", title, (("why", text["why"]), ("do", text["do"])), (state.word,))


def _quantities() -> Iterator[Explanation]:
    from resnet_diffeo_probe.measures.registry import CRITERIA, SHOWN
    from resnet_diffeo_probe.report.text.quantities import QUANTITIES

    explained = set()
    for criterion in CRITERIA:
        parts = (
            ("is", _words(criterion.definition)),
            ("threshold", criterion.threshold),
            ("origin", criterion.origin),
            ("normal", criterion.normal),
            ("why", criterion.causes),
            ("do", criterion.advice),
        )
        names = dict.fromkeys((criterion.key, *criterion.quantities))
        explained |= set(names)
        for name in names:
            own = QUANTITIES.get(name)
            same = own is None or name == criterion.key
            title = criterion.title if same or own is None else f"{own.name} ({criterion.title})"
            yield Explanation(name, "quantities", title, parts, _forms(own))
    for measure in SHOWN:
        if measure.key not in explained:
            said = measure.explanation or (("is", measure.words),)
            yield Explanation(measure.key, "quantities", measure.words, said, _forms(QUANTITIES[measure.key]))


def _forms(known: Quantity | None) -> tuple[str, ...]:
    """Return how a quantity is called in words and at the head of a column."""
    if known is None:
        return ()
    signs = ("+", "0", "−", "?") if known.kind == "sign" else ()
    return (known.name, known.symbol.striptags(), *signs)


def _limits() -> Iterator[Explanation]:
    from resnet_diffeo_probe.analysis.comparing.thresholds import LIMITS

    for name, limit in LIMITS.items():
        allowed = "at most" if limit.bound == "max" else "at least"
        shown = "none" if limit.default is None else f"{limit.default:g}; it is shown, and trips no gate"
        parts = (
            ("default", shown),
            ("origin", limit.origin),
            (
                "do",
                f'In a thresholds file: {name} = NUMBER, or false; in a table [units."PATTERN"] for some units.',
            ),
        )
        yield Explanation(name, "thresholds", f"{allowed} this: {_statistic(limit)}", parts)


def _statistic(limit: Limit) -> str:
    if limit.statistic.endswith("_share"):
        return f"share of the inputs with {limit.statistic.removesuffix('_share')} sign"
    extreme, _, per_dimension = limit.statistic.partition("_")
    return f"{extreme} {limit.quantity} over the inputs" + (
        ", divided by the dimension" if per_dimension else ""
    )


def _words(html: str) -> str:
    """Return the text of a definition; what stands below the line follows a `_`."""
    from markupsafe import Markup

    return Markup(re.sub(r"<sub>(.*?)</sub>", r"_\1", html)).striptags()  # noqa: S704 - shipped with the package


def forms_of(name: str) -> set[str]:
    """Return a name as it is compared with others, and the same with N for every number that is no part of a word."""
    return {_plain(name), _plain(re.sub(r"(?<![A-Za-z\d])\d+", "N", name))}


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def _print_list(every: list[Explanation]) -> None:
    for place, kind in enumerate(dict.fromkeys(each.kind for each in every)):
        click.echo(("\n" if place else "") + kind.upper())
        entries = [each for each in every if each.kind == kind]
        width = max(len(each.name) for each in entries)
        room = max(20, _width() - width - 4)
        for each in entries:
            title = each.title if len(each.title) <= room else f"{each.title[: room - 1].rstrip()}…"
            click.echo(f"  {each.name.ljust(width)}  {title}")


def _print_one(each: Explanation) -> None:
    click.echo(f"{each.name} ({each.kind})")
    click.echo(_wrapped(each.title, "  "))
    for label, text in each.parts:
        click.echo(_wrapped(text, f"  {label}: ".ljust(13), " " * 13))


def _wrapped(text: str, first: str, rest: str | None = None) -> str:
    return click.wrap_text(text, _width(), first, first if rest is None else rest)


def _width() -> int:
    return min(_WIDEST, shutil.get_terminal_size().columns)
