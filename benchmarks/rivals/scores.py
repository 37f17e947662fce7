"""From answers and truths to the numbers of one row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rivals.adapters.protocol import FAMILIES, FAULTS
from rivals.histories import Labelled

NUM_RESAMPLES = 2000
NUM_BINS = 10
OVERFITTED = "fits_and_fails"


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """One tool's row. Shares are 0 … 1, NaN where there is no history to count.

    family, fault: macro-F1 over the labels that the truth holds; an abstention is a miss.
    overfitting: macro-F1 of "fits and fails, or not"; an abstention counts as "not". Memorised
    wrong labels are overfitting in this column, since nobody can read them apart in every log.
    alarmed, called_healthy: shares of the healthy histories.
    abstained: share of all without a family.  family_only: with a family but no fault.
    calibration_error: expected, over the answers that carry a confidence; None without any.
    milliseconds: median of a log.
    """

    n: int
    family: Interval
    fault: Interval
    overfitting: Interval
    alarmed: float
    called_healthy: float
    abstained: float
    family_only: float
    calibration_error: float | None
    milliseconds: float


def scores(histories: Sequence[Labelled], rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Compare a tool's answers, one a history and in their order, with the truth."""
    named = [(h.family, family_named(h, row)) for h, row in zip(histories, rows, strict=True)]
    faults = [(h.fault, row["fault"]) for h, row in zip(histories, rows, strict=True)]
    binary = [(_overfitted(truth), _overfitted(found)) for truth, found in named]
    healthy = [found for truth, found in named if truth == "healthy"]
    return Scores(
        n=len(rows),
        family=macro_f1_interval(named, FAMILIES),
        fault=macro_f1_interval(faults, FAULTS),
        overfitting=macro_f1_interval(binary, ("yes", "no")),
        alarmed=_share(found not in ("healthy", None) for found in healthy),
        called_healthy=_share(found == "healthy" for found in healthy),
        abstained=_share(row["family"] is None for row in rows),
        family_only=_share(row["family"] is not None and row["fault"] is None for row in rows),
        calibration_error=calibration_error(_sure(histories, rows)),
        milliseconds=float(np.median([1000 * row["seconds"] for row in rows])),
    )


def family_named(history: Labelled, row: Mapping[str, Any]) -> str | None:
    """Return a tool's family. One that names the right fault, and no family, is right about both.

    The same fault can happen in two families, and such a tool has no word for that.
    """
    if row["fault"] == history.fault and not row.get("own_family"):
        return history.family
    family: str | None = row["family"]
    return family


def _overfitted(family: str | None) -> str:
    return "yes" if family == OVERFITTED else "no"


def _share(hits: Any) -> float:
    counted = list(hits)
    return float(np.mean(counted)) if counted else float("nan")


def _sure(
    histories: Sequence[Labelled], rows: Sequence[Mapping[str, Any]]
) -> list[tuple[float, bool]]:
    """Confidence and rightness of each answer: of the fault where one is named, else the family."""
    return [
        (row["confidence"], row["fault"] in (None, h.fault) and family_named(h, row) == h.family)
        for h, row in zip(histories, rows, strict=True)
        if row["confidence"] is not None and row["family"] is not None
    ]


def macro_f1_interval(
    pairs: Sequence[tuple[str, str | None]], labels: Sequence[str], *, seed: int = 0
) -> Interval:
    """Return the macro-F1 of (truth, answer) pairs. Resamples keep each label's number.

    To draw a label's histories with replacement is to draw its row of the confusion matrix from a
    multinomial distribution, so no resample needs the histories themselves.
    """
    counts = confusion(pairs, labels)
    sizes = counts.sum(axis=1)
    generator = np.random.default_rng(seed)
    shares = counts / np.maximum(sizes, 1)[:, None]
    drawn = [
        generator.multinomial(size, share, size=NUM_RESAMPLES)
        for size, share in zip(sizes, shares, strict=True)
    ]
    low, high = np.quantile(macro_f1(np.stack(drawn, axis=1)), [0.025, 0.975])
    return Interval(float(macro_f1(counts)), float(low), float(high))


def confusion(pairs: Sequence[tuple[str, str | None]], labels: Sequence[str]) -> np.ndarray:
    """Return counts ``[K, K + 1]`` int64: truth by answer; the last column is no answer."""
    index = {label: position for position, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    for truth, answer in pairs:
        counts[index[truth], len(labels) if answer is None else index[answer]] += 1
    return counts


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Return the mean F1 ``[...]`` of counts ``[..., K, K + 1]`` over labels the truth holds."""
    answers = counts[..., :-1]
    hits = np.diagonal(answers, axis1=-2, axis2=-1)
    sizes = counts.sum(axis=-1)
    both = answers.sum(axis=-2) + sizes
    f1 = np.where(both > 0, 2 * hits / np.maximum(both, 1), 0.0)
    return (f1 * (sizes > 0)).sum(axis=-1) / (sizes > 0).sum(axis=-1)


def calibration_error(answers: Sequence[tuple[float, bool]]) -> float | None:
    """Return the expected calibration error of (confidence, right) pairs, in ten equal bins.

    That is the mean distance of a bin's share of right answers from its mean confidence, weighted
    by the bin's size (Guo et al., On Calibration of Modern Neural Networks, 2017). None for none.
    """
    if not answers:
        return None
    confidence, right = np.array(answers, dtype=float).T
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = [
        np.sum(bins == k) * abs(right[bins == k].mean() - confidence[bins == k].mean())
        for k in np.unique(bins)
    ]
    return float(np.sum(gaps) / len(answers))
