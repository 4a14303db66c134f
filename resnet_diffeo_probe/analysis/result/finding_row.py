"""A finding as a row of a database, and back, to the bit. What comes back may have been edited by anyone."""

from __future__ import annotations

from typing import Any

from resnet_diffeo_probe.finding import Evidence, Finding, Status

__all__ = ["COLUMNS", "to_finding", "to_number", "to_row", "to_text"]

#: The columns of `to_row`, after the quantity's name.
COLUMNS = ("value", "evidence", "status", "error", "low", "high", "dtype", "seed", "reason")


def to_row(finding: Finding) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`."""
    low, high = finding.interval if finding.interval is not None else (None, None)
    return (
        finding.value,
        finding.evidence.value,
        finding.status.value,
        finding.error,
        low,
        high,
        finding.dtype,
        finding.seed,
        None if finding.reason is None else to_text(finding.reason),
    )


def to_finding(*row: Any) -> Finding:
    """Return the finding of a row.

    Raises:
        ValueError: the row is none that `to_row` makes.
    """
    value, evidence, status, error, low, high, dtype, seed, reason = row
    if isinstance(reason, bytes):
        reason = reason.decode("utf-8", "surrogatepass")
    for text in (dtype, reason):
        if text is not None and not isinstance(text, str):
            raise ValueError(f"{text!r} is no text")
    if seed is not None and not isinstance(seed, int):
        raise ValueError(f"{seed!r} is no seed")
    return Finding(
        None if value is None else to_number(value),
        Evidence(evidence),
        Status(status),
        error=None if error is None else to_number(error),
        interval=None if low is None and high is None else (to_number(low), to_number(high)),
        dtype=dtype,
        seed=seed,
        reason=reason,
    )


def to_number(value: Any) -> Any:
    """Return a value that is a number.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def to_text(text: str) -> str | bytes:
    """Return text as SQLite takes it: a file's name need not be valid UTF-8, and is then kept as its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text
