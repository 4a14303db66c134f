"""How numbers and names are written: the same everywhere in the report, and never with side effects."""

from __future__ import annotations

import math
import unicodedata

__all__ = [
    "MINUS",
    "count",
    "duration",
    "label",
    "number",
    "percent",
    "plural",
    "power",
    "sha",
    "shape",
    "visible",
]

MINUS = "\u2212"
_NBSP = "\u00a0"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# control, format (bidi overrides, zero width), surrogate, private use, unassigned; line, paragraph ends
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""Return the text with characters that act instead of show written out, such as `\x1b` or `\u202e`.

    Terminal escapes, bidirectional overrides and zero-width characters in the name of a file or module can
    make a reader see another name; lone surrogates cannot be encoded at all.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _INVISIBLE else c for c in text)


def _escape(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def label(text: str, longest: int = 16) -> str:
    """Return a short name for the axis of a picture: printable ASCII, cut in its middle."""
    shown = "".join(c if c.isascii() else _escape(c) for c in visible(text))
    if len(shown) <= longest:
        return shown
    head = (longest - 1) // 2
    return f"{shown[:head]}\u2026{shown[-(longest - 1 - head) :]}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number to so many significant digits; `∞`, `−∞` and `—` (none) for what is not one."""
    if value is None:
        return "\u2014"
    # by the rounded value: 9999.6 is 10,000 to four digits
    magnitude = abs(float(f"{value:.{digits - 1}e}")) if isinstance(value, float) else abs(value)
    if math.isinf(value):
        written = "∞" if value > 0 else "-∞"
    elif magnitude == 0:
        written = "0"
    elif _is_short_whole(value) or 10 ** (digits - 1) <= magnitude < 1e7:
        written = f"{value:,.0f}"
    elif 1e-3 <= magnitude < 1e7:
        written = f"{value:.{digits}g}"
    else:
        written = _scientific(value, digits)
    return written.replace("-", MINUS)


def _is_short_whole(value: float) -> bool:
    return abs(value) < (1e15 if isinstance(value, int) else 1e6) and float(value).is_integer()


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}×10{power(int(exponent))}"


def power(exponent: int) -> str:
    """Return an exponent as superscript digits."""
    return str(exponent).translate(_SUPERSCRIPT)


def percent(share: float | None, digits: int = 3) -> str:
    """Return a share in [0, 1] as a percentage to so many significant digits."""
    if share is None or math.isinf(share):
        return number(share)
    return f"{number(100 * share, digits)}{_NBSP}%"


def count(value: int | None) -> str:
    """Return a whole number with its thousands set apart."""
    return "\u2014" if value is None else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """Return `1 unit`, `2 units`."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Return a duration in the units that people say."""
    if seconds is None:
        return "\u2014"
    if seconds < 60:
        return f"{number(seconds, 3)}{_NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_NBSP}min {rest}{_NBSP}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{_NBSP}h {minutes}{_NBSP}min"


def shape(sizes: list[int]) -> str:
    """Return `3×224×224`."""
    return "×".join(str(size) for size in sizes) or "\u2014"


def sha(digest: str | None) -> str:
    """Return the ends of a SHA-256, enough to recognise it."""
    return "not known" if digest is None else f"{digest[:8]}\u2026{digest[-8:]}"
