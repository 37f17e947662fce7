"""The written form of what probes measured: ``probes.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.diagnosis.probes.outcome import FRESH_FACTOR, Fork, Outcome
from pipeline.diagnosis.record import ProbedVerdict
from pipeline.files import Number


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Mean losses in nats, one for each repeat; NaN where a repeat diverged."""

    val_loss: tuple[Number, ...]
    train_loss: tuple[Number, ...]


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval."""

    low: Number
    value: Number
    high: Number


@dataclass(frozen=True, kw_only=True)
class ForkRecord(Losses):
    """One fork. fall_of_val_loss: against the kept weights, as a share."""

    fall_of_val_loss: Interval


@dataclass(frozen=True, kw_only=True)
class OneBatch:
    """Losses in nats, one for each batch. loss_by_adam: None where Adam was not needed."""

    entropy: tuple[Number, ...]
    loss: tuple[Number, ...]
    loss_by_adam: tuple[Number, ...] | None


@dataclass(frozen=True, kw_only=True)
class ProbesRecord(ProbedVerdict):
    """Everything that the probes of one model measured, and how it changed the verdict.

    epochs: length of a fork.  before: losses of the kept weights.
    not_run: probe → why it was left out.
    """

    name: str
    weights_sha256: str
    version: Literal[1] = 1
    epochs: float
    before: Losses
    forks: Mapping[str, ForkRecord]
    one_batch: OneBatch
    not_run: Mapping[str, str]


def probes_record(
    outcome: Outcome, probed: ProbedVerdict, *, name: str, weights_sha256: str
) -> ProbesRecord:
    """Return the record of one model's probes.

    weights_sha256: of the weights from which the short runs started.
    """
    forks = {f"learning_rate*{factor:g}": fork for factor, fork in outcome.rates.items()}
    forks[f"new_weights_at_learning_rate*{FRESH_FACTOR:g}"] = outcome.fresh
    if outcome.wider is not None:
        forks["twice_the_units"] = outcome.wider
    batch = outcome.batch
    return ProbesRecord(
        name=name,
        weights_sha256=weights_sha256,
        epochs=outcome.epochs,
        before=Losses(
            val_loss=_numbers(outcome.before.val.mean(1)),
            train_loss=_numbers(outcome.before.train.mean(1)),
        ),
        forks={key: _fork(outcome, fork) for key, fork in forks.items()},
        one_batch=OneBatch(
            entropy=_numbers(batch.entropy),
            loss=_numbers(batch.own),
            loss_by_adam=None if batch.adam is None else _numbers(batch.adam),
        ),
        not_run=dict(outcome.lacking),
        **{f: getattr(probed, f) for f in ProbedVerdict.__dataclass_fields__},
    )


def _fork(outcome: Outcome, fork: Fork) -> ForkRecord:
    fall = outcome.fall(outcome.before, fork)
    reach = 1.96 * fall.error
    return ForkRecord(
        val_loss=_numbers(fork.val.mean(1)),
        train_loss=_numbers(fork.train.mean(1)),
        fall_of_val_loss=Interval(fall.value - reach, fall.value, fall.value + reach),
    )


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
