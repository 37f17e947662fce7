"""The arrays of one history by name, epoch and layer, for the functions that measure."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.diagnosis.record import Span

BEFORE_TRAINING = -1  # the epoch under which signals were measured before the first step


class Missing(Exception):
    """The history lacks what a number needs. The text names it."""


class MeasuredRun:
    """One history. An index counts its epochs from 0; a row is one of the signals' moments.

    measured: what `pipeline.diagnosis.measured.measurement` has computed already.
    Methods raise `Missing` for what was not recorded.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.measured: dict[Any, Any] = {}

    # --- curves ----------------------------------------------------------------------------------

    def curve(self, *names: str) -> np.ndarray:
        """Return the first of these curves that has a number; ``[E]`` float64.

        A curve without any number counts only where the losses before training were finite: then
        training lost it.
        """
        there = [self.history.curves[name] for name in names if name in self.history.curves]
        with_numbers = [values for values in there if np.any(~np.isnan(values))]
        if with_numbers or (there and self.began_finite):
            return np.asarray((with_numbers or there)[0], dtype=np.float64)
        raise Missing(f"one number in the curve {names[-1]}" if there else f"the curve {names[-1]}")

    @cached_property
    def train_loss(self) -> np.ndarray:
        """Training loss in nats ``[E]``; measured as validation loss is, where that is known."""
        return self.curve("train/cross_entropy", "train/loss")

    @cached_property
    def val_loss(self) -> np.ndarray:
        """Validation loss in nats ``[E]``."""
        return self.curve("val/cross_entropy", "val/loss")

    @cached_property
    def loss_without_numbers(self) -> str:
        """Names a recorded loss that never was a number; empty where there is none."""
        for part in ("val", "train"):
            names = (f"{part}/cross_entropy", f"{part}/loss")
            if any(name in self.history.curves for name in names):
                try:
                    self.curve(*names)
                except Missing as error:
                    return str(error)
        return ""

    @property
    def began_finite(self) -> bool:
        """Whether the losses before training were measured, and all finite.

        Damaged validation images give losses that are not: then no step has lost them.
        """
        return self._finite_before == [True, True]

    @property
    def began_broken(self) -> bool:
        """Whether a loss before training was measured, and not finite."""
        return False in self._finite_before

    @cached_property
    def _finite_before(self) -> list[bool]:
        """Whether the losses before training were finite, of the parts that were measured."""
        found = []
        for part in ("train", "val"):
            with suppress(Missing):
                losses = self.before_training(f"{part}/loss_per_example")
                found.append(bool(np.all(np.isfinite(losses))))
        return found

    # --- epochs ----------------------------------------------------------------------------------

    @property
    def num_epochs(self) -> int:
        """Number of epochs."""
        return len(self.history.epochs)

    @property
    def last(self) -> int:
        """Index of the last epoch."""
        return self.num_epochs - 1

    @cached_property
    def kept(self) -> int:
        """Index of the epoch whose weights are kept."""
        epoch = self.history.context.kept_epoch
        if epoch is None:
            return self.last
        indices = np.flatnonzero(self.history.epochs == epoch)
        return int(indices[0]) if len(indices) else self.last

    @cached_property
    def best(self) -> int:
        """Index of the epoch with the lowest validation loss; 0 where none is finite."""
        return int(np.argmin(np.where(np.isfinite(self.val_loss), self.val_loss, np.inf)))

    def span(self, first: int, last: int) -> Span:
        """Return two indices as epochs, counted from 1."""
        epochs = self.history.epochs
        return int(epochs[max(first, 0)]) + 1, int(epochs[last]) + 1

    # --- losses to compare with ------------------------------------------------------------------

    @cached_property
    def guessing_loss(self) -> float:
        """Loss in nats of always guessing the classes' shares."""
        loss = self.history.prior_entropy
        if loss is None:
            raise Missing("the number of classes (num_classes=…)")
        return loss

    @cached_property
    def baseline_loss(self) -> float:
        """Validation loss in nats of the better of the data card's baselines."""
        baselines = self.history.context.baselines
        if not baselines:
            raise Missing("the data card's baselines")
        return min(b.cross_entropy for b in baselines.values())

    # --- signals ---------------------------------------------------------------------------------

    def signal(self, name: str) -> np.ndarray:
        """Return a signal's array, see docs/signals.md."""
        record = self.history.signals
        if record is None or len(record.arrays["epochs"]) == 0 or name not in record.arrays:
            raise Missing("the network's signals (signals=standard)")
        return record.arrays[name]

    @cached_property
    def moments(self) -> np.ndarray:
        """Epoch of each row of the signals; `BEFORE_TRAINING` for the first one."""
        return self.signal("epochs")

    def before_training(self, name: str) -> np.ndarray:
        """Return a signal's row before the first step."""
        rows = np.flatnonzero(self.moments == BEFORE_TRAINING)
        if len(rows) == 0:
            raise Missing(f"the signal {name} before the first step")
        return np.asarray(self.signal(name)[rows[0]], dtype=np.float64)

    def row(self, index: int) -> int:
        """Return the signals' row of an epoch's index, or the nearest one before it."""
        rows = np.flatnonzero(self.moments <= self.history.epochs[index])
        if len(rows) == 0:
            raise Missing("signals of that epoch")
        return int(rows[-1])

    @cached_property
    def activations(self) -> list[str]:
        """Names of the activations whose units were watched."""
        record = self.history.signals
        listed = json.loads(record.metadata.get("activations", "[]")) if record else []
        return [a if isinstance(a, str) else a["name"] for a in listed]
