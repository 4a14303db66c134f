"""What every page of this package is made with: templates that escape, the shipped style, control characters shown."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from resnet_diffeo_probe.report.text import escaping as text

__all__ = ["fill", "shipped"]


def fill(template: str, **values: Any) -> str:
    """Return a page: a shipped template with these values, and with the shipped style as `style`."""
    style = Markup(shipped("report.css"))  # noqa: S704 - shipped with the package
    return _environment().get_template(template).render(style=style, **values)


def shipped(name: str) -> str:
    """Return a file of the folder of templates."""
    folder = resources.files("resnet_diffeo_probe.report").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _load(name: str) -> str | None:
    try:
        return shipped(name)
    except FileNotFoundError:
        return None


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(_load),
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=text.count,
        duration=text.duration,
        number=text.number,
        percent=text.percent,
        plural=text.plural,
        sha=text.sha,
        shape=text.shape,
        symbols=_symbols,
    )
    return environment


def _symbols(sentence: str) -> Markup:
    """Return a sentence of this package with its symbols set as symbols: `σ_min`, `J_F`."""
    escaped = Markup.escape(sentence)
    for plain, set_ in (("σ_min", "σ<sub>min</sub>"), ("J_F", "<i>J<sub>F</sub></i>")):
        escaped = escaped.replace(plain, Markup(set_))  # noqa: S704 - constants
    return escaped


def _visible(value: Any) -> Any:
    """Write out control characters in every string that a template prints, wherever it came from."""
    if isinstance(value, Markup):
        # made of names in places; an escape such as \x1b holds nothing that HTML could take for its own
        return Markup("\n".join(map(text.visible, value.split("\n"))))  # noqa: S704 - was markup before
    return text.visible(value) if isinstance(value, str) else value
