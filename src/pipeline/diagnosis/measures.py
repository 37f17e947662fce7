"""The numbers that rules judge, each computed once from a history.

A number that the history does not give raises `Missing`, so that the rule is told as not run.
Losses are mean cross-entropies in nats; "share" numbers lie in 0 … 1.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from pipeline.diagnosis.finding import Missing
from pipeline.diagnosis.history import History

Span = tuple[int, int]
# A gradient this much smaller than the largest one may have faded to exactly zero in 32 bits.
FADED = 1e-20


@dataclass(frozen=True)
class Measured:
    """A number, its standard error, and the epochs (1-based) it comes from."""

    value: float
    error: float = 0.0
    epochs: Span | None = None


class Measures:
    """Numbers of one history. Epoch indices are 0-based within the history."""

    def __init__(self, history: History) -> None:
        self.history = history

    # --- curves ----------------------------------------------------------------------------------

    def curve(self, *names: str) -> np.ndarray:
        """The first of these curves that has a number; ``[E]`` float64.

        One without any is a curve only where the loss before the first step was finite: it was lost on the way.
        """
        there = [self.history.curves[name] for name in names if name in self.history.curves]
        numbers = [values for values in there if np.any(~np.isnan(values))]
        if numbers or (there and self.began):
            return np.asarray((numbers or there)[0], dtype=np.float64)
        raise Missing(f"one number in the curve {names[-1]}" if there else f"the curve {names[-1]}")

    @cached_property
    def train(self) -> np.ndarray:
        """Training loss ``[E]``, measured as validation loss is, where that is known."""
        return self.curve("train/cross_entropy", "train/loss")

    @cached_property
    def val(self) -> np.ndarray:
        """Validation loss ``[E]``."""
        return self.curve("val/cross_entropy", "val/loss")

    @cached_property
    def last(self) -> int:
        """Index of the last epoch."""
        return len(self.history.epochs) - 1

    @cached_property
    def kept(self) -> int:
        """Index of the epoch whose weights are kept."""
        wanted = self.history.context.kept_epoch
        if wanted is None:
            return self.last
        found = np.flatnonzero(self.history.epochs == wanted)
        return int(found[0]) if len(found) else self.last

    @cached_property
    def best(self) -> int:
        """Index of the epoch with the lowest validation loss; the first one where all are NaN."""
        return int(np.nanargmin(np.where(np.isfinite(self.val), self.val, np.inf)))

    def span(self, first: int, last: int) -> Span:
        """Indices as 1-based epochs, as people count them."""
        epochs = self.history.epochs
        return int(epochs[max(first, 0)]) + 1, int(epochs[last]) + 1

    @cached_property
    def prior(self) -> float:
        """Loss of guessing."""
        found = self.history.prior_entropy
        if found is None:
            raise Missing("the number of classes (num_classes=…)")
        return found

    @cached_property
    def reference(self) -> float:
        """Loss of the better one of the cheap baselines."""
        found = self.history.context.baselines
        if not found:
            raise Missing("the data card's baselines")
        return min(b.cross_entropy for b in found.values())

    # --- signals ---------------------------------------------------------------------------------

    def signal(self, name: str) -> np.ndarray:
        """An array of the signals."""
        record = self.history.signals
        if record is None or len(record.arrays["epochs"]) == 0 or name not in record.arrays:
            raise Missing("the network's signals (signals=standard)")
        return record.arrays[name]

    @cached_property
    def moments(self) -> np.ndarray:
        """Epochs of the signals' rows, -1 is before the first step."""
        return self.signal("epochs")

    def at_start(self, name: str) -> np.ndarray:
        """A signal's row before the first step."""
        rows = np.flatnonzero(self.moments == -1)
        if len(rows) == 0:
            raise Missing(f"the signal {name} before the first step")
        return np.asarray(self.signal(name)[rows[0]], dtype=np.float64)

    @cached_property
    def began(self) -> bool:
        """Whether the losses before the first step were measured, and finite on both parts.

        Validation images that are damaged give none that is: no step has lost it.
        """
        try:
            before = [self.at_start(f"{part}/loss_per_example") for part in ("train", "val")]
        except Missing:
            return False
        return all(bool(np.all(np.isfinite(losses))) for losses in before)

    def row(self, index: int) -> int:
        """The signals' row of an epoch index; the nearest one before it."""
        rows = np.flatnonzero(self.moments <= self.history.epochs[index])
        if len(rows) == 0:
            raise Missing("signals of that epoch")
        return int(rows[-1])

    def names(self, what: str) -> list[str]:
        """Names of the layers or activations."""
        record = self.history.signals
        found = json.loads(record.metadata.get(what, "[]")) if record else []
        return [f if isinstance(f, str) else f["name"] for f in found]

    # --- losses with their noise ------------------------------------------------------------------

    def loss(self, part: str, index: int) -> Measured:
        """Mean loss of a part at an epoch, with its standard error over examples where that is known."""
        curve = self.train if part == "train" else self.val
        value, error = float(curve[index]), 0.0
        try:
            rows = self.signal(f"{part}/loss_per_example")
            losses = rows[self.row(index)].astype(np.float64)
            if np.all(np.isfinite(losses)):
                error = float(losses.std() / math.sqrt(len(losses)))
        except Missing:
            error = self._curve_noise(curve) * value
        return Measured(value, error, self.span(index, index))

    def _curve_noise(self, curve: np.ndarray) -> float:
        """Relative noise of a curve's points: from second differences, which a smooth curve does not have.

        Of the logarithm, in which a loss falls nearly straight, over the later half (8 points at least).
        """
        there = curve[np.isfinite(curve) & (curve > 0)]
        if len(there) < 4:
            return 0.0
        second = np.diff(np.log(there[-max(8, math.ceil(len(there) / 2)) :]), n=2)
        return float(1.4826 * np.median(np.abs(second)) / math.sqrt(6))

    def errors(self, part: str, index: int) -> Measured:
        """Share of wrong answers at an epoch, with its binomial standard error where n is known."""
        try:
            correct = self.signal(f"{part}/correct")[self.row(index)]
            share, n = 1 - float(correct.mean()), len(correct)
        except Missing:
            share = 1 - float(self.curve(f"{part}/accuracy")[index])
            n = (self.history.context.num_val or 0) if part == "val" else 0
        smooth = (share * n + 2) / (n + 4)
        error = math.sqrt(smooth * (1 - smooth) / n) if n else 0.0
        return Measured(share, error, self.span(index, index))

    # --- shapes of curves -------------------------------------------------------------------------

    @cached_property
    def rise(self) -> Measured:
        """How far the kept epoch's validation loss lies above the best one's, relative to the latter.

        The luckiest epoch must not look like a rise. Where examples are known, the best epoch is chosen on
        one half of them and judged on the other, both ways round; else see `_rise_of_curve`.
        """
        span = self.span(self.best, self.kept)
        try:
            losses = self.signal("val/loss_per_example")[[self.row(i) for i in range(self.last + 1)]]
            losses = losses.astype(np.float64)
            if not np.all(np.isfinite(losses[self.kept])):
                raise Missing("finite losses")
        except Missing:
            return self._rise_of_curve()
        losses = np.where(np.isfinite(losses), losses, np.inf)
        half = np.arange(losses.shape[1]) % 2 == 0
        differences, levels = [], []
        for chosen, judged in ((half, ~half), (~half, half)):
            best_row = int(np.argmin(losses[:, chosen].mean(1)))
            differences.append(losses[self.kept, judged] - losses[best_row, judged])
            levels.append(losses[best_row, judged])
        d, level = np.concatenate(differences), float(np.concatenate(levels).mean())
        return Measured(float(d.mean()) / level, float(d.std() / math.sqrt(len(d))) / level, span)

    def _rise_of_curve(self) -> Measured:
        """The rise where no examples are known.

        From six epochs between the best and the kept one on: the Theil-Sen slope of the logarithm over
        them, times their number. Else the difference, after the best one's expected luck is taken off: that
        of the lowest of as many normal numbers as there are epochs within twice the curve's noise.
        """
        span, between = self.span(self.best, self.kept), self.val[self.best : self.kept + 1]
        if len(between) >= 6 and np.all(np.isfinite(between)) and between[0] > 0:
            slope, _, low, high = stats.theilslopes(np.log(between), alpha=0.95)
            rise, steps = math.exp(slope * (len(between) - 1)), len(between) - 1
            return Measured(rise - 1, float(high - low) / 3.92 * steps * rise, span)
        noise, best = self._curve_noise(self.val), float(self.val[self.best])
        best *= 1 + noise * _luck(int(np.sum(self.val <= best * (1 + 2 * noise))))
        return Measured(float(self.val[self.kept] - best) / best, noise * math.sqrt(2), span)

    @cached_property
    def gap(self) -> Measured:
        """Share of the validation loss that is not there on training images, at the kept epoch."""
        train, val = self.loss("train", self.kept), self.loss("val", self.kept)
        if not (val.value > 0 and math.isfinite(val.value)):
            raise Missing("a finite validation loss")
        error = math.hypot(train.error, val.error * train.value / val.value) / val.value
        return Measured(1 - train.value / val.value, error, val.epochs)

    @cached_property
    def unlearnt(self) -> Measured:
        """Lowest training loss so far against the validation loss, at the kept epoch.

        The lowest one: a spike at the end does not undo what was learnt by heart.
        """
        upto = np.where(np.isfinite(self.train[: self.kept + 1]), self.train[: self.kept + 1], np.inf)
        lowest = int(np.argmin(upto))
        train, val = self.loss("train", lowest), self.loss("val", self.kept)
        if not (val.value > 0 and math.isfinite(val.value)):
            raise Missing("a finite validation loss")
        error = math.hypot(train.error, val.error * train.value / val.value) / val.value
        return Measured(train.value / val.value, error, self.span(lowest, self.kept))

    @cached_property
    def transfer(self) -> Measured:
        """How much of a fall of the training loss reaches the validation loss, up to the kept epoch.

        Theil-Sen slope of the logarithm of the one on that of the other, over the epochs in which the
        training loss fell to a sixteenth (four at least), with the standard error that its 95 % interval
        gives. 1: both fall alike; 0: validation stands still; below 0: it rises.
        """
        x, y = self.train[: self.kept + 1], self.val[: self.kept + 1]
        there = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0))
        if len(there) < 4 or np.ptp(x[there]) == 0:
            raise Missing("four epochs of a training loss that moves")
        far = np.flatnonzero(x[there] > 16 * np.median(x[there][-3:]))
        there = there[min(int(far[-1]) if len(far) else 0, len(there) - 4) :]
        slope, _, low, high = stats.theilslopes(np.log(y[there]), np.log(x[there]), alpha=0.95)
        return Measured(float(slope), float(high - low) / 3.92, self.span(int(there[0]), self.kept))

    @cached_property
    def progress(self) -> Measured:
        """Relative fall of the training loss an epoch at the end of training, see `_fall`."""
        return self._fall("train", self.train)

    @cached_property
    def val_progress(self) -> Measured:
        """Relative fall of the validation loss an epoch at the end of training, see `_fall`."""
        return self._fall("val", self.val)

    def _fall(self, part: str, curve: np.ndarray) -> Measured:
        """Relative fall of a loss an epoch, over the last quarter (4 points at least).

        Theil-Sen slope of the logarithm (the median of all pairs' slopes), with the standard error that
        its 95 % interval gives; the loss before the first step is the point of epoch 0 where it was measured.
        """
        x, y = self.history.epochs.astype(np.float64) + 1, curve
        try:
            start = float(self.at_start(f"{part}/loss_per_example").mean())
            x, y = np.append(0.0, x), np.append(start, y)
        except Missing:
            pass
        keep = np.isfinite(y) & (y > 0)
        x, y = x[keep], np.log(y[keep])
        count = max(4, math.ceil(len(x) / 4))
        x, y = x[-count:], y[-count:]
        if len(x) < 2:
            raise Missing("two epochs")
        span = (max(int(x[0]), 1), int(x[-1]))
        if len(x) == 2:
            return Measured(float(1 - math.exp(y[1] - y[0])), 0.0, span)
        slope, _, low, high = stats.theilslopes(y, x, alpha=0.95)
        return Measured(float(1 - math.exp(slope)), float(high - low) / 3.92, span)

    @cached_property
    def roughness(self) -> Measured:
        """Mean rise of the training loss from one epoch to the next, relative to its level.

        Falls count as none: a curve that only falls has 0. The first epoch is left out. Where baselines are
        known, the level is half of the better one's loss at least: near 0 every ripple looks large.
        """
        y = self.train[np.isfinite(self.train)]
        if len(y) < 4:
            raise Missing("four epochs")
        y = y[1:]
        floor = 0.5 * self.reference if self.history.context.baselines else 0.0
        rises = np.maximum(np.diff(y), 0) / np.maximum(np.minimum(y[1:], y[:-1]), floor)
        return Measured(
            float(rises.mean()), float(rises.std() / math.sqrt(len(rises))), self.span(1, self.last)
        )

    # --- the network ------------------------------------------------------------------------------

    @cached_property
    def initial(self) -> Measured:
        """Loss before the first step against that of guessing."""
        losses = self.at_start("train/loss_per_example")
        return Measured(
            float(losses.mean()) / self.prior, float(losses.std() / math.sqrt(len(losses))) / self.prior
        )

    def update_ratio(self, first: int, last: int) -> np.ndarray:
        """Size of an epoch's last step against its weights ``[rows, L]``, of these epoch indices."""
        rows = [self.row(i) for i in range(first, last + 1)]
        return self.signal("layers/last_update_ratio")[rows].astype(np.float64)

    @cached_property
    def largest_update(self) -> Measured:
        """Median over layers of the last step's size against the weights, largest of all epochs."""
        ratios = self.update_ratio(0, self.last)
        if np.all(np.isnan(ratios)):
            raise Missing("updates of the weights")
        found = np.nanmedian(ratios[~np.all(np.isnan(ratios), axis=1)], axis=1)
        return Measured(float(np.nanmax(found)), 0.0, self.span(0, self.last))

    @cached_property
    def typical_update(self) -> Measured:
        """The last step's size against the weights: median over layers, then over epochs."""
        ratios = self.update_ratio(0, self.last)
        if np.all(np.isnan(ratios)):
            raise Missing("updates of the weights")
        return Measured(float(np.nanmedian(ratios)), 0.0, self.span(0, self.last))

    @cached_property
    def growth(self) -> Measured:
        """Weights' norm after the first epoch against before it, of the layer where it grew most."""
        before, after = self.at_start("layers/weight_norm"), self.signal("layers/weight_norm")[self.row(0)]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(before > 0, after / before, np.nan)
        if np.all(np.isnan(ratios)):
            raise Missing("weights that are not zero")
        return Measured(float(np.nanmax(ratios)), 0.0, self.span(0, 0))

    @cached_property
    def zero_weights(self) -> float:
        """Share of the layers whose weights are all zero before the first step."""
        return float((self.at_start("layers/weight_norm") == 0).mean())

    @cached_property
    def dead(self) -> tuple[str, Measured]:
        """The layer with the most units that are silent on every image, at two moments; its share."""
        rows = self.signal("units/dead").astype(np.float64)
        if rows.shape[1] == 0 or len(rows) < 2:
            raise Missing("units that can be silent")
        twice = np.minimum(rows[-2], rows[-1])
        worst = int(np.nanargmax(np.where(np.isnan(twice), -1, twice)))
        return self.names("activations")[worst], Measured(
            float(twice[worst]), 0.0, self.span(self.last - 1, self.last)
        )

    @cached_property
    def num_dead(self) -> Measured:
        """How many units of that layer are silent."""
        layer, share = self.dead
        number = int(self.signal("units/num_units")[self.names("activations").index(layer)])
        return Measured(share.value * number, 0.0, share.epochs)

    @cached_property
    def dead_at_start(self) -> float:
        """Largest share of silent units before the first step."""
        found = self.at_start("units/dead")
        return float(np.nanmax(found)) if found.size else 0.0

    def gradients(self, row: int) -> np.ndarray:
        """Gradient norm of each layer per square root of its number of weights ``[L]``."""
        norms = self.signal("layers/gradient_norm")[row].astype(np.float64)
        return norms / np.sqrt(self.signal("layers/num_weights"))

    def depth_ratio(self, row: int) -> float:
        """Gradient of the first layer against that of the last but one: 1 means that depth changes nothing."""
        found = self.gradients(row)
        found = found[~np.isnan(found)]
        if len(found) < 3:
            raise Missing("three layers")
        return float(found[0] / found[-2]) if found[-2] > 0 else 0.0

    def time_ratio(self, row: int) -> float:
        """Gradient at the first time step against that at the last."""
        norms = self.signal("time_step/gradient_norm")[row].astype(np.float64)
        return float(norms[0] / norms[-1]) if norms[-1] > 0 else 0.0

    @cached_property
    def cut_steps(self) -> float:
        """Share of the time steps that no gradient at all reaches, before the first step.

        A product of small factors comes to zero only below the smallest float: where the gradient is zero
        next to a sizeable one, units are silent there. Where it faded out, the share is 0.
        """
        norms = self.at_start("time_step/gradient_norm")
        reached = norms[norms > 0]
        if len(reached) == 0:
            return 0.0
        faded = reached.min() < FADED * reached.max()
        return 0.0 if faded else float(np.mean(norms == 0))

    @cached_property
    def penalty_share(self) -> Measured:
        """Share of the penalties in the gradient: median of the epochs, since it wavers between them."""
        shares = self.signal("penalty_gradient_share")[self.moments >= 0].astype(np.float64)
        if np.all(np.isnan(shares)):
            raise Missing("the penalties' share in the gradient")
        return Measured(float(np.nanmedian(shares)), 0.0, self.span(0, self.last))

    @cached_property
    def burden(self) -> Measured:
        """What regularisation adds to the loss while training: objective against the loss without it."""
        objective = self.curve("train/objective")
        value = float(objective[self.last] / self.curve("train/loss")[self.last])
        return Measured(value, 0.0, self.span(self.last, self.last))


def _luck(count: int) -> float:
    """Expected distance of the lowest of ``count`` standard normal numbers below their mean (Blom, 1958)."""
    return float(stats.norm.ppf((count - 0.375) / (count + 0.25)))
