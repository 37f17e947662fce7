"""Logs as they would be on data of whose answers a part is luck, made from the logs of the corpus.

Nobody can know some answers, and no log says how many. A sound run on such data ends at a high
loss, as a run that does not fit ends on sure data. A model that has seen few such data sets takes
the one for the other. So every run is shown a second time as if a share of its answers, in every
part, had been drawn anew.

* Classes: with a share s of K classes drawn anew, the best loss is the entropy h of the answers,
  and guessing costs ln K as before. A loss L becomes h + (1 - h / ln K) L, and an accuracy a
  becomes (1 - s) a + s / K.
* Regressions: the variance of the noise is added to the loss.

A network would also learn the noise by heart, late in training. That is left out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from oracle import CLEAR, FITS, LEAST_POINTS, SHAKEN
from pack import Run

from pipeline.diagnosis.learned.numbers import Curves

SHARES = (0.15, 0.75)  # of the answers that are drawn anew
CLEAR_FALL = -math.log(1 - CLEAR)
SMALLEST = 1e-3
SCARCE = 0.15  # the share of a pair's runs below which lies what it can reach, if none is healthy


@dataclass(frozen=True)
class Noise:
    """How many answers are luck: a share of them; in a regression (0 classes) a variance."""

    share: float
    num_classes: int

    @property
    def entropy(self) -> float:
        """The loss of somebody who knows every answer that can be known, in nats."""
        if not self.num_classes:
            return self.share
        other = self.share / self.num_classes
        right = 1 - self.share + other
        return -right * math.log(right) - (self.num_classes - 1) * other * math.log(other)

    def loss(self, values: np.ndarray) -> np.ndarray:
        """Losses with the noise."""
        kept = 1 - self.entropy / math.log(self.num_classes) if self.num_classes else 1.0
        return self.entropy + kept * values

    def accuracy(self, values: np.ndarray) -> np.ndarray:
        """Accuracies with the noise."""
        return (1 - self.share) * values + self.share / max(self.num_classes, 1)

    def curves(self, given: Curves) -> Curves:
        """The curves of a log with the noise."""

        def noisy(values: np.ndarray | None, *, accuracy: bool = False) -> np.ndarray | None:
            if values is None:
                return None
            return self.accuracy(values) if accuracy else self.loss(values)

        return replace(
            given,
            train_loss=noisy(given.train_loss),
            val_loss=noisy(given.val_loss),
            train_accuracy=noisy(given.train_accuracy, accuracy=True),
            val_accuracy=noisy(given.val_accuracy, accuracy=True),
        )


def drawn(run: Run, key: str) -> Noise:
    """Draw the noise for one showing of a run."""
    dice = random.Random(f"{run.case} {run.settings['seed']} {key}")
    return Noise(dice.uniform(*SHARES), run.num_classes)


def reached(runs: Sequence[Run]) -> Mapping[tuple[str, str], float]:
    """The validation loss that each pair of data and network can reach: that of healthy runs."""
    ends: dict[tuple[str, str], list[float]] = {}
    sound: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        last = float(run.curves["val_loss"][-1])
        if math.isfinite(last):
            ends.setdefault(run.pair, []).append(last)
            if run.family == "healthy":
                sound.setdefault(run.pair, []).append(last)
    return {
        pair: float(np.median(sound[pair]) if pair in sound else np.quantile(all_ends, SCARCE))
        for pair, all_ends in ends.items()
    }


def holds(run: Run, noise: Noise, reach: float) -> bool:
    """Whether the family of a run would still be true: its harm is a smaller share of more loss.

    reach: the loss that the pair can reach, without the noise.
    """
    if run.family == "healthy":
        return True
    val = noise.loss(run.curves["val_loss"].astype(np.float64))
    train = noise.loss(run.curves["eval_loss"].astype(np.float64))
    if not math.isfinite(val[-1]):
        return run.family == "unstable"
    past_best = math.log(val[-1] / float(np.nanmin(val))) >= CLEAR_FALL
    if run.family == "unstable":
        late = np.diff(np.log(val))[len(val) // 3 :]
        return past_best or (
            len(val) >= LEAST_POINTS and float(np.maximum(late, 0).mean()) >= SHAKEN
        )
    if run.family == "fits_and_fails":
        return past_best or math.log(val[-1] / max(train[-1], SMALLEST)) >= FITS
    best = float(noise.loss(np.array(reach)))
    if math.log(val[-1] / best) < CLEAR_FALL:
        return False
    return run.family != "does_not_fit" or math.log(max(train[-1], SMALLEST) / best) >= CLEAR_FALL
