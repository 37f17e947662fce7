"""What the short runs measured, and by how much one lowers the loss against another, with the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.diagnosis.measures import Measured

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
# On the learning rate of a network that starts anew.
FRESH_FACTOR = 0.1


@dataclass(frozen=True)
class Fork:
    """Losses per example, in nats, at the end of a short run: ``[R, N]`` of R repeats in other orders.

    val, train: of the same examples in all forks of one probe. Infinite where a repeat diverged.
    """

    val: np.ndarray
    train: np.ndarray


@dataclass(frozen=True)
class Batch:
    """A few images shown again and again, without regularisation: can they be learnt by heart?

    entropy: ``[B]`` nats, of each batch's labels: what answers that ignore the images reach.
    own: ``[B]`` mean losses at the end with the run's optimizer.  adam: the same with Adam at its usual
    rate, to tell the network from the steps; None where the run's optimizer could.
    """

    entropy: np.ndarray
    own: np.ndarray
    adam: np.ndarray | None


@dataclass(frozen=True)
class Outcome:
    """Everything the probes of one run measured.

    before: losses with the kept weights, one repeat.  rates: factor on the learning rate → fork; 1 is
    training on as it was.  fresh: not from the kept weights but from new ones, at `FRESH_FACTOR` of the rate.
    wider: with twice the units, or None, and ``lacking`` says why.
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
        """Standard deviation of the logarithm of one fork's validation loss over its order of images.

        From the spread of the repeats, a median over the forks: one that is wild does not set it.
        """
        spreads = [_spread(_logs(f.val)) for f in self.rates.values() if np.all(np.isfinite(f.val))]
        # The median of |x1 - x2| / √2 of two normal numbers is 0.6745 of their standard deviation.
        scale = 1.4826 if self.rates[1.0].val.shape[0] == 2 else 1.0
        return scale * float(np.median(spreads)) if spreads else math.inf

    def fall(self, reference: Fork, after: Fork, *, part: str = "val") -> Measured:
        """Share by which the mean loss of ``after`` lies below that of ``reference``; negative where above.

        The standard error has two parts: over examples, paired; and over repeats, paired where both have
        them, but at least `run_noise`. A fork that diverged has -inf.
        """
        a, b = getattr(after, part), getattr(reference, part)
        level, ratio = float(b.mean()), float(a.mean() / b.mean())
        if not math.isfinite(ratio):
            return Measured(-math.inf)
        mean_a, mean_b = a.mean(0), b.mean(0)
        influence = mean_a / level - ratio * mean_b / level
        examples = float(influence.std()) / math.sqrt(len(influence))
        own = _spread(_logs(a) - (_logs(b) if len(b) == len(a) else 0.0))
        runs = ratio * max(own, self.run_noise) / math.sqrt(len(a))
        return Measured(1 - ratio, math.hypot(examples, runs))


def _logs(losses: np.ndarray) -> np.ndarray:
    """Logarithm of each repeat's mean loss ``[R]``."""
    return np.asarray(np.log(np.maximum(losses.mean(1), 1e-12)))


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
