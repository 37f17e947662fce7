"""Outcomes of probes made by hand: a run at rest, and whatever is to differ from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.diagnosis.probes import Batch, Fork, Outcome
from pipeline.diagnosis.probes.settle import evidence_of

N = 1000
HARDNESS = np.random.default_rng(0).exponential(size=N)
HARDNESS /= HARDNESS.mean()


def fork(val: float, train: float | None = None, *, jitter: float = 0.002) -> Fork:
    """Two repeats around these mean losses, on the same easy and hard examples."""
    repeats = np.array([1 - jitter, 1 + jitter])[:, None]
    return Fork(val * repeats * HARDNESS, (val if train is None else train) * repeats * HARDNESS)


def lost() -> Fork:
    """Two repeats that diverged."""
    return fork(np.inf)


def batch(own: float = 0.01, adam: float | None = None) -> Batch:
    entropy = np.array([2.2, 2.2, 2.2])
    wobble = np.array([0.98, 1.0, 1.02])
    return Batch(entropy, own * wobble, None if adam is None else adam * wobble)


def outcome(**changes: Any) -> Outcome:
    """A run at rest at 0.2: nothing changes its loss but large steps, which harm it."""
    rates = {0.1: 0.199, 0.3: 0.199, 1.0: 0.2, 3.0: 0.22, 10.0: 0.4} | changes.pop("rates", {})
    made = Outcome(
        before=Fork(0.2 * HARDNESS[None], 0.18 * HARDNESS[None]),
        rates={f: v if isinstance(v, Fork) else fork(v, 0.9 * v) for f, v in rates.items()},
        fresh=fork(0.6),
        wider=fork(0.198, 0.175),
        batch=batch(),
        epochs=3,
        kept_is_last=True,
    )
    return replace(made, **changes)


def sides(o: Outcome) -> dict[str, str]:
    return {e.verdict: e.points for e in evidence_of(o)}
