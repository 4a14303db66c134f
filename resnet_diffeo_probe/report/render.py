"""A stored analysis → one self-contained HTML page: a pure rendering, the same bytes for the same result."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.analysis.result.schema import validate
from resnet_diffeo_probe.analysis.result.whole_file import write_whole
from resnet_diffeo_probe.report.document import fill, shipped
from resnet_diffeo_probe.report.sections.page import page_of

__all__ = ["LARGE", "render", "render_html"]

#: Bytes of a page above which a reader is warned.
LARGE = 8_000_000
_LOG = logging.getLogger(__name__)

# Rows that every input adds; pictures and maps, which the page shows.
_NOT_EMBEDDED = frozenset({"measurements", "certificates", "attribution", "pictures"})


def render_html(result: dict[str, Any]) -> str:
    """Return the report as an HTML document that fetches nothing.

    Args:
        result: a stored analysis, as `analysis.schema.read_result` returns it.

    Raises:
        ResultError: the result is not valid.
    """
    validate(result)
    script = shipped("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return fill(
        "page.html.j2",
        page=page_of(result),
        script=Markup(script),  # noqa: S704 - shipped with the package
        script_hash=f"sha256-{digest}",
        data=_embedded(result),
    )


def render(result: dict[str, Any], *, path: Path) -> None:
    """Write the report: to a temporary name in the same folder first, then renamed.

    Above `LARGE` bytes a warning is logged.

    Args:
        result: a stored analysis, as `analysis.schema.read_result` returns it.
        path: the HTML file.

    Raises:
        ResultError: the result is not valid.
        OutputError: the file cannot be written (an older one stays as it was).
    """
    html = render_html(result)
    if len(html) > LARGE:
        _LOG.warning(
            "%s has %.1f MB: browsers take long to open it, and mail servers may refuse it; fewer inputs or --units "
            "make it smaller",
            path.name,
            len(html) / 1e6,
        )
    write_whole(path, html)


def _embedded(result: Mapping[str, Any]) -> Markup:
    """Return the result as JSON that cannot end the element it stands in, without its largest parts."""
    kept = {key: value for key, value in result.items() if key not in _NOT_EMBEDDED}
    dumped = json.dumps(kept, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        dumped = dumped.replace(character, f"\\u{ord(character):04x}")
    return Markup(dumped)  # noqa: S704 - escaped above
