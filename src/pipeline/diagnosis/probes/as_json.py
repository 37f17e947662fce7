"""Probes as plain values, for ``probes.json`` and other programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.diagnosis.as_json import condition
from pipeline.diagnosis.probes.outcome import FRESH_FACTOR, Fork, Outcome
from pipeline.diagnosis.probes.settle import Settled

VERSION = 1


def measured(outcome: Outcome) -> dict[str, Any]:
    """What the short runs measured; the loss of a fork that diverged is None."""
    forks = {f"learning_rate*{factor:g}": fork for factor, fork in outcome.rates.items()}
    forks[f"new_weights_at_learning_rate*{FRESH_FACTOR:g}"] = outcome.fresh
    if outcome.wider is not None:
        forks["twice_the_units"] = outcome.wider
    batch = outcome.batch
    return {
        "version": VERSION,
        "epochs": outcome.epochs,
        "before": _losses(outcome.before),
        "forks": {name: {**_losses(fork), **_fall(outcome, fork)} for name, fork in forks.items()},
        "one_batch": {
            "entropy": _numbers(batch.entropy),
            "loss": _numbers(batch.own),
            "loss_by_adam": None if batch.adam is None else _numbers(batch.adam),
        },
        "not_run": dict(outcome.lacking),
    }


def weighed(settled: Settled) -> dict[str, Any]:
    """What follows: the evidence, the verdict before and after it, and the probabilities that it changed."""
    return {
        "verdict_by_curves": settled.before.verdict,
        "confidence_by_curves": round(settled.before.confidence, 4),
        "verdict": settled.after.verdict,
        "confidence": round(settled.after.confidence, 4),
        "evidence": [
            {
                "verdict": e.verdict,
                "points": e.points,
                "odds": round(e.odds, 3),
                "conditions": [condition(c) for c in e.conditions],
            }
            for e in settled.evidence
        ],
        "changes": [
            {"verdict": c.verdict, "before": _rounded(c.before), "after": _rounded(c.after)}
            for c in settled.changes
        ],
    }


def _losses(fork: Fork) -> dict[str, Any]:
    return {"val_loss": _numbers(fork.val.mean(1)), "train_loss": _numbers(fork.train.mean(1))}


def _fall(outcome: Outcome, fork: Fork) -> dict[str, Any]:
    fall = outcome.fall(outcome.before, fork)
    ends = [fall.value + s * 1.96 * fall.error for s in (-1, 0, 1)]
    return {"fall_of_val_loss": dict(zip(("low", "value", "high"), _numbers(ends), strict=True))}


def _numbers(values: Sequence[float] | np.ndarray) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
