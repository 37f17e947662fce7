"""The wrong predictions of which a model was most confident."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.checks import checked


def worst_mistakes(logits: np.ndarray, labels: np.ndarray, *, count: int) -> np.ndarray:
    """Return the indices ``[M]`` int64 of wrongly classified examples, the most confident first.

    M is ``count``, or the number of mistakes where there are fewer. Confidence is compared as
    log-odds, which still differ where probabilities round to 1; ties keep their order.

    Raises:
        DataError: on logits or labels that ``evaluate`` would refuse too.
    """
    logits, labels = checked(logits, labels)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    order = np.argsort(-_top_log_odds(logits[wrong]), kind="stable")
    return wrong[order[: max(count, 0)]]


def _top_log_odds(logits: np.ndarray) -> np.ndarray:
    """Return ``log(p / (1 - p))`` of the largest probability of each row, ``[N]``."""
    ordered = np.sort(logits, axis=1)
    top, second, rest = ordered[:, -1], ordered[:, -2], ordered[:, :-1]
    return top - second - np.log(np.exp(rest - second[:, None]).sum(axis=1))
