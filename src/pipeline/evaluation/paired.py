"""Two models on the same test images: is one right more often than chance explains?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.intervals import LEVEL
from pipeline.records import Estimate


@dataclass(frozen=True)
class PairedAnswers:
    """The comparison of a candidate with a champion, image by image.

    gained: images that only the candidate answers rightly.  lost: images that only the champion
    does.  difference: of the accuracies, positive where the candidate's is higher.
    p_value: two-sided, of McNemar's exact test; 1 where no answer differs in being right.
    """

    gained: int
    lost: int
    difference: Estimate
    p_value: float

    @property
    def better(self) -> bool:
        """Whether the candidate is right more often, beyond noise."""
        return self.gained > self.lost and self.p_value < 1 - LEVEL


def compare_answers(candidate: np.ndarray, champion: np.ndarray) -> PairedAnswers:
    """Compare which of the same images two models answer rightly, each ``[N]`` bool, N ≥ 1.

    Images that both answer rightly, or both wrongly, say nothing. If the models were equally good,
    each of the others would fall to either with probability 1/2. Clopper and Pearson's interval for
    that probability gives the one of the difference: it leaves out 0 where the test rejects.
    McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions, 1947.
    """
    from scipy import stats  # here: it takes a second, and most commands do without

    n = len(candidate)
    gained, lost = int((candidate & ~champion).sum()), int((champion & ~candidate).sum())
    if gained + lost == 0:
        return PairedAnswers(0, 0, Estimate(0.0, 0.0, 0.0, n), 1.0)
    test = stats.binomtest(gained, gained + lost, 0.5)
    share = test.proportion_ci(LEVEL, method="exact")
    low, high = ((2 * end - 1) * (gained + lost) / n for end in (share.low, share.high))
    difference = Estimate((gained - lost) / n, low, high, n)
    return PairedAnswers(gained, lost, difference, float(test.pvalue))
