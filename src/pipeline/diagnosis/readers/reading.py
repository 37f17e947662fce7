"""What was read, and as what: a history with one line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.diagnosis.readers.names import WORDS_OF

_SHOWN = 8


@dataclass(frozen=True)
class Reading:
    """A history and how it was read.

    used: curve → the column, or the columns, that it was made of.
    others: every other column of numbers, on the epochs of the history ``[E]``.
    span: the length in words.  notes: what a person should know, as parts of a sentence.
    """

    history: History
    used: Mapping[str, str]
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    span: str = ""
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Return one line: which column stands for what, how long, and what was left out."""
        known = [f"{column} → {WORDS_OF[curve]}" for curve, column in self.used.items()]
        parts = [", ".join(known), self.span, *self.notes]
        if self.others:
            names = list(self.others)
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"not used: {', '.join(names[:_SHOWN])}{more}")
        return " ".join(f"read: {'; '.join(part for part in parts if part)}".split())
