"""Equal findings of a run held once: outcomes come from processes and from disk, each with words of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resnet_diffeo_probe.finding import Finding

__all__ = ["HeldOnce"]


class HeldOnce:
    """What was met so far of findings and of the words in them."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._findings: dict[Finding, Finding] = {}

    def word(self, word: str) -> str:
        """Return the same word, held once."""
        return self._words.setdefault(word, word)

    def row(self, findings: Mapping[str, Finding]) -> dict[str, Finding]:
        """Return the same findings by quantity, with equal words held once, and whole findings where that is likely.

        Signs, counts and what has no value are the same at many inputs; two measured numbers hardly ever are.
        """
        return {self.word(quantity): self._finding(finding) for quantity, finding in findings.items()}

    def _finding(self, finding: Finding) -> Finding:
        # 1 and 1.0 are equal and written differently: only whole numbers, and nothing else that is a number
        often = finding.value is None or type(finding.value) is int
        if often and finding.error is None and finding.interval is None:
            known = self._findings.get(finding)
            if known is None:
                known = self._findings[finding] = self._with_words(finding)
            return known
        return self._with_words(finding)

    def _with_words(self, finding: Finding) -> Finding:
        dtype = None if finding.dtype is None else self.word(finding.dtype)
        reason = None if finding.reason is None else self.word(finding.reason)
        if dtype is finding.dtype and reason is finding.reason:
            return finding
        return replace(finding, dtype=dtype, reason=reason)
