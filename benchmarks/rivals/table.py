"""The table in Markdown, and what stands below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rivals.scores import Interval, Scores

HEADER = (
    "tool",
    "family F1",
    "fault F1",
    "overfitting F1",
    "healthy alarmed",
    "healthy called healthy",
    "abstained",
    "family only",
    "calibration error",
    "ms a log",
    "n",
)
MAX_REASONS, MAX_WORDS = 3, 90  # of each tool's reasons for an abstention


def table(rows: Mapping[str, Scores]) -> str:
    """Return a Markdown table with one line a tool, in their order."""
    lines = [HEADER, ("---",) * len(HEADER), *(_cells(name, s) for name, s in rows.items())]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cells(name: str, found: Scores) -> tuple[str, ...]:
    error = found.calibration_error
    return (
        name,
        _interval(found.family),
        _interval(found.fault),
        _interval(found.overfitting),
        _percent(found.alarmed),
        _percent(found.called_healthy),
        _percent(found.abstained),
        _percent(found.family_only),
        "–" if error is None else f"{error:.3f}",
        f"{found.milliseconds:.2f}",
        str(found.n),
    )


def _interval(f1: Interval) -> str:
    return f"{f1.value:.2f} [{f1.low:.2f}, {f1.high:.2f}]"


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def reasons(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one line on why a tool gave no verdict, most frequent reason first; "" if it did."""
    counted = Counter(row["reason"] or "no reason" for row in rows if row["family"] is None)
    told = [f"{n} × {words[:MAX_WORDS]}" for words, n in counted.most_common(MAX_REASONS)]
    if not told:
        return ""
    if len(counted) > len(told):
        told.append(f"{len(counted) - len(told)} other reasons")
    return f"{name}, no verdict: {'; '.join(told)}"
