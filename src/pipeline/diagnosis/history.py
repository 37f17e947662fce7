"""One training as the diagnosis reads it: curves, signals of the network, and its context."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from pipeline.errors import DataError
from pipeline.records import Baseline, DataCard, EpochRecord, SignalRecord

CURVES = (
    "train/loss",
    "val/loss",
    "train/cross_entropy",
    "val/cross_entropy",
    "train/accuracy",
    "val/accuracy",
    "train/objective",
    "learning_rate",
)

# Stands among the metadata of the signals where a LightningModule has trained itself.
TRAINS_ITSELF = "trains_itself"

# How the training curve was measured: in evaluation mode at the end of an epoch, as validation is;
# or as a mean over the epoch's own steps, in training mode, while the weights still change.
TrainCurve = Literal["evaluation", "running_mean", "unknown"]


@dataclass(frozen=True)
class Context:
    """Numbers to compare a training with. None means not known.

    num_classes: ≥ 2.  prior_entropy: nats, of the training labels.
    baselines: cheap models, measured on the same validation part.
    num_val: images behind each validation number.  num_train: images of the training part.
    kept_epoch: 0-based, whose weights are kept; None means the last one's.
    settings: the resolved configuration; empty where it is not known.
    train_curve: how the training curve was measured.
    train_by_step: whether its points are means of losses that were logged by step.
    trains_itself: whether a person's own LightningModule has its own loss and optimizer, on which
        the settings have no effect.
    """

    num_classes: int | None = None
    prior_entropy: float | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    num_val: int | None = None
    num_train: int | None = None
    kept_epoch: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    train_curve: TrainCurve = "unknown"
    train_by_step: bool = False
    trains_itself: bool = False

    @classmethod
    def of(cls, card: DataCard, settings: Mapping[str, Any], *, kept_epoch: int | None) -> Context:
        """Return the context of a run of our own, from its data's card and its settings."""
        return cls(
            num_classes=card.num_classes,
            prior_entropy=card.class_prior_entropy,
            baselines=card.baselines,
            num_val=sum(card.class_counts["val"]),
            num_train=sum(card.class_counts["train"]),
            kept_epoch=kept_epoch,
            settings=settings,
            train_curve="evaluation",
        )


@dataclass(frozen=True)
class History:
    """Curves by epoch, and the signals that were measured beside them.

    epochs: ``[E]`` int64, increasing, 0-based.
    curves: name of `CURVES` → ``[E]`` float64, NaN where an epoch has no number. A loss that
    was lost is infinite; as NaN it counts as lost where no loss has a number up to the end.
    signals: as docs/signals.md says; None without.  name: for messages.
    Raises `DataError` for no epoch, curves of another length, or epochs that do not increase.
    """

    epochs: np.ndarray
    curves: Mapping[str, np.ndarray]
    signals: SignalRecord | None = None
    context: Context = Context()
    name: str = "this run"

    def __post_init__(self) -> None:
        if len(self.epochs) == 0:
            raise DataError(f"{self.name}: the history has no epoch. Train for one epoch at least.")
        if np.any(np.diff(self.epochs) <= 0):
            raise DataError(
                f"{self.name}: epochs must increase. Two histories may be mixed in one file."
            )
        for name, values in self.curves.items():
            if len(values) != len(self.epochs):
                raise DataError(
                    f"{self.name}: {name} has {len(values)} values for {len(self.epochs)} epochs. "
                    "Give every epoch one value, or leave the cell empty."
                )
        if not any(name.endswith(("loss", "accuracy")) for name in self.curves):
            raise DataError(
                f"{self.name}: no known curve among {', '.join(self.curves) or 'nothing'}. "
                f"Give at least one of {', '.join(CURVES[:6])} (or train_loss, val_loss, loss, …)."
            )

    @classmethod
    def of(
        cls,
        rows: Sequence[EpochRecord],
        signals: SignalRecord | None,
        context: Context,
        *,
        name: str,
    ) -> History:
        """Return the history of a run of our own; signals without a moment count as none."""
        names = sorted({n for row in rows for n in row.metrics if n in CURVES})
        nan = float("nan")
        measured = signals is not None and len(signals.arrays["epochs"]) > 0
        if signals is not None and TRAINS_ITSELF in signals.metadata:
            context = replace(context, trains_itself=True)
        return cls(
            epochs=np.array([row.epoch for row in rows], dtype=np.int64),
            curves={
                n: np.array([row.metrics.get(n, nan) for row in rows], dtype=np.float64)
                for n in names
            },
            signals=signals if measured else None,
            context=context,
            name=name,
        )

    @property
    def prior_entropy(self) -> float | None:
        """Loss in nats of guessing the classes' shares: the card's, or ln K for K classes."""
        known = self.context
        if known.prior_entropy is not None:
            return known.prior_entropy
        return math.log(known.num_classes) if known.num_classes else None
