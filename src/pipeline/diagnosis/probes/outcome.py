"""The losses of the short runs, and by how much one lowers the loss against another, with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.diagnosis.measured import Measured
from pipeline.diagnosis.record import SHARE, Part

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
# Factor on the learning rate of a network that starts anew.
FRESH_FACTOR = 0.1


@dataclass(frozen=True)
class Fork:
    """Losses per example, in nats, at the end of a short run: ``[R, N]`` of R repeats.

    val, train: of the same examples in all forks of one probe. Infinite where a repeat diverged.
    """

    val: np.ndarray
    train: np.ndarray


@dataclass(frozen=True)
class Batch:
    """A few images shown again and again, without regularization: can they be learned by heart?

    entropy: ``[B]`` nats, of each batch's labels: the loss of answers that ignore the images.
    own: ``[B]`` mean losses at the end with the run's optimizer.  adam: the same with Adam at its
    usual rate, to tell the network from the steps; None where the run's optimizer succeeds.
    """

    entropy: np.ndarray
    own: np.ndarray
    adam: np.ndarray | None


@dataclass(frozen=True)
class Outcome:
    """Everything the probes of one run measured.

    before: losses with the kept weights, one repeat.
    rates: factor on the learning rate → fork; 1 goes on with the run's own rate.
    fresh: from new weights instead of the kept ones, at `FRESH_FACTOR` of the rate.
    wider: with twice the units; None where that was impossible.
    lacking: probe → why it was left out.
    epochs: length of a fork.  kept_is_last: whether the kept weights are those of the last epoch.
    """

    before: Fork
    rates: Mapping[float, Fork]
    fresh: Fork
    wider: Fork | None
    batch: Batch
    epochs: float
    kept_is_last: bool
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> str:
        """``3 epochs``, for sentences."""
        return f"{self.epochs:.3g} epoch{'' if self.epochs == 1 else 's'}"

    @property
    def run_noise(self) -> float:
        """Standard deviation of a fork's log validation loss over the order of the images.

        The median over the forks of their repeats' spread, so that one wild fork does not set it.
        """
        spreads = [_spread(_logs(f.val)) for f in self.rates.values() if np.all(np.isfinite(f.val))]
        # The median of |x1 - x2| / √2 of two normal numbers is 0.6745 of their standard deviation.
        scale = 1.4826 if self.rates[1.0].val.shape[0] == 2 else 1.0
        return scale * float(np.median(spreads)) if spreads else math.inf

    def fall(
        self,
        reference: Fork,
        after: Fork,
        *,
        part: Part = "val",
        key: str = "",
        words: str = "",
    ) -> Measured:
        """Share by which the mean loss of ``after`` lies below that of ``reference``.

        Negative where it lies above; -inf where ``after`` diverged, 1 where only ``reference`` did,
        both without an error. The standard error has two parts. One is over examples, paired. The
        other is over repeats, paired where both forks have them, and at least `run_noise`.
        key, words: names of the number, see `Measured`.
        """
        a, b = getattr(after, part), getattr(reference, part)
        level, mean = float(b.mean()), float(a.mean())
        if not math.isfinite(mean) or level == 0:
            return Measured(-math.inf, key=key, words=words, unit=SHARE)
        if not math.isfinite(level):
            return Measured(1.0, key=key, words=words, unit=SHARE)
        ratio = mean / level
        mean_a, mean_b = a.mean(0), b.mean(0)
        influence = mean_a / level - ratio * mean_b / level
        examples = float(influence.std()) / math.sqrt(len(influence))
        own = _spread(_logs(a) - (_logs(b) if len(b) == len(a) else 0.0))
        runs = ratio * max(own, self.run_noise) / math.sqrt(len(a))
        return Measured(1 - ratio, math.hypot(examples, runs), key=key, words=words, unit=SHARE)


def _logs(losses: np.ndarray) -> np.ndarray:
    """Logarithm of each repeat's mean loss ``[R]``."""
    return np.asarray(np.log(np.maximum(losses.mean(1), 1e-12)))


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
