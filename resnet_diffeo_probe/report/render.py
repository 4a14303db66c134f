"""A stored analysis → one self-contained HTML page: a pure rendering, the same bytes for the same result."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from resnet_diffeo_probe.analysis.schema import validate
from resnet_diffeo_probe.errors import OutputError
from resnet_diffeo_probe.report import text
from resnet_diffeo_probe.report.page import page_of

__all__ = ["render", "render_html"]


def render_html(result: dict[str, Any]) -> str:
    """Return the report as an HTML document that fetches nothing.

    Args:
        result: a stored analysis, as `analysis.schema.read_result` returns it.

    Raises:
        ResultError: the result is not valid.
    """
    validate(result)
    script = _resource("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template("page.html.j2").render(
        page=page_of(result),
        style=Markup(_resource("report.css")),  # noqa: S704 - shipped with the package
        script=Markup(script),  # noqa: S704 - shipped with the package
        script_hash=f"sha256-{digest}",
        data=_embedded(result),
    )  # fmt: skip


def render(result: dict[str, Any], *, path: Path) -> None:
    """Write the report: to a temporary name in the same folder first, then renamed.

    Args:
        result: a stored analysis, as `analysis.schema.read_result` returns it.
        path: the HTML file.

    Raises:
        ResultError: the result is not valid.
        OutputError: the file cannot be written (an older one stays as it was).
    """
    html = render_html(result)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(html, encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}", fix="choose another folder with --out"
        ) from error


def _resource(name: str) -> str:
    folder = resources.files("resnet_diffeo_probe.report").joinpath("templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def _load(name: str) -> str | None:
    try:
        return _resource(name)
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


# Rows that every input adds, and pictures, which the page shows.
_NOT_EMBEDDED = frozenset({"measurements", "certificates", "pictures"})


def _embedded(result: Mapping[str, Any]) -> Markup:
    """Return the result as JSON that cannot end the element it stands in, without its largest parts."""
    kept = {key: value for key, value in result.items() if key not in _NOT_EMBEDDED}
    dumped = json.dumps(kept, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        dumped = dumped.replace(character, f"\\u{ord(character):04x}")
    return Markup(dumped)  # noqa: S704 - escaped above
