"""Telling text from data by the first bytes of a file."""

from __future__ import annotations

__all__ = ["first_line"]


def first_line(head: bytes, size: int) -> str | None:
    """Return the first line (at most 60 characters) of what is text, None if it is not.

    Args:
        head: the first bytes of the file.
        size: of the whole file in bytes.
    """
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # not merely a character cut at the end of the sample
        if error.start < len(head) - 4 or size <= len(head):
            return None
        text = head[: error.start].decode("utf-8")
    if not all(character.isprintable() or character in "\t\r\n\f" for character in text):
        return None
    return text.strip().splitlines()[0][:60] if text.strip() else ""
