"""Decision rules, which turn scores into a label set: names and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from streamlearn.errors import UsageError
from streamlearn.printable import shown

SIMPLE_KINDS = ("balanced", "subset", "f1", "hamming", "macro")
RULES = (*SIMPLE_KINDS, "top_k:K", "threshold:P")
DEFAULT_RULE = "balanced"


@dataclass(frozen=True, slots=True)
class Rule:
    """A decision rule.

    ``kind`` is one of ``SIMPLE_KINDS``, ``top_k`` or ``threshold``; ``count`` is K of ``top_k:K``; ``threshold`` is P
    of ``threshold:P``, a probability.
    """

    kind: str
    count: int = 0
    threshold: float = 0.5

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Return the rule that a text names.

        Raises
        ------
        UsageError
            When the text is not one of ``RULES``.

        >>> Rule.parse("top_k:3")
        Rule(kind='top_k', count=3, threshold=0.5)
        """
        if not isinstance(text, str):
            raise UsageError(f"{shown(text)} is not a rule; a rule is a text, one of {', '.join(RULES)}")
        kind, colon, value = text.partition(":")
        if kind in SIMPLE_KINDS and not colon:
            return cls(kind)
        if kind == "top_k" and value.isascii() and value.isdigit() and int(value) >= 1:
            return cls(kind, count=int(value))
        if kind == "threshold":
            try:
                threshold = float(value)
            except ValueError:
                threshold = -1.0
            if 0.0 <= threshold <= 1.0:
                return cls(kind, threshold=threshold)
        raise UsageError(
            f"{shown(text)} is not a rule; choose one of {', '.join(RULES)} (K is a whole number from 1, P a "
            "probability)"
        )

    def __str__(self) -> str:
        if self.kind == "top_k":
            return f"top_k:{self.count}"
        if self.kind == "threshold":
            return f"threshold:{self.threshold:g}"
        return self.kind
