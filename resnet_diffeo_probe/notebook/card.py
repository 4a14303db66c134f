"""The verdicts of an analysis as a small HTML table for the cell of a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.report.text.escaping import MINUS, number, visible
from resnet_diffeo_probe.report.text.quantities import DENSITY
from resnet_diffeo_probe.report.text.units import ReportUnit, network_verdicts, units_of

__all__ = ["card"]

# fills of the verdicts, the same as in the report; an icon and a word stand beside each
_FILLS = {
    "certified_injective": ("#2166AC", "#FFFFFF"),
    "no_violation_found": ("#E69F00", "#1A1D21"),
    "not_injective_proven": ("#7F0000", "#FFFFFF"),
}
_OTHER = ("#D0D0D0", "#1A1D21")
_CELL = "padding:2px 8px;text-align:left;vertical-align:top"

_CARD = Markup(
    '<div><p style="margin:0 0 4px"><strong>{architecture}</strong>: {network}</p>'
    '<table style="border-collapse:collapse"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
)
_ROW = Markup(
    '<tr><td style="{cell}"><code>{name}</code></td>'
    '<td style="{cell}"><span style="background:{fill};color:{ink};padding:0 6px;border-radius:3px;white-space:nowrap">'
    "{icon} {word}</span></td>"
    '<td style="{cell}">{signs}</td><td style="{cell}">{density}</td><td style="{cell}">{sentence}</td></tr>'
)
_HEADS = ("unit", "x + F(x)", "signs of det J", "log|det J|/n, median", "why")


def card(result: Mapping[str, Any]) -> Markup:
    """Return the card: no script, no style sheet, nothing fetched; every name escaped.

    Args:
        result: a valid stored analysis.
    """
    network, _ = network_verdicts(result)
    head = Markup().join(Markup('<th scope="col" style="{}">{}</th>').format(_CELL, text) for text in _HEADS)
    return _CARD.format(
        architecture=visible(result["model"]["architecture"]),
        network=visible(network.sentence),
        head=head,
        rows=Markup().join(_row(unit) for unit in units_of(result)),
    )


def _row(unit: ReportUnit) -> Markup:
    verdict = unit.verdicts[0]
    fill, ink = _FILLS.get(verdict.state.key, _OTHER)
    return _ROW.format(
        cell=_CELL,
        name=visible(unit.name),
        fill=fill,
        ink=ink,
        icon=verdict.state.icon,
        word=verdict.state.word,
        signs=_signs(unit),
        density=number(unit.summary(DENSITY).median),
        sentence=visible(verdict.sentence),
    )


def _signs(unit: ReportUnit) -> str:
    counts = unit.counts
    if counts is None or not unit.signs:
        return number(None)
    parts = [f"{counts['positive']} +", f"{counts['negative']} {MINUS}"]
    parts += [f"{counts[key]} {key}" for key in ("zero", "undetermined", "not_run") if counts[key]]
    return ", ".join(parts).replace("_", " ")
