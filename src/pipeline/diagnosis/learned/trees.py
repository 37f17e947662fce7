"""Small boosted trees, read from JSON: they see two or three numbers together, where a sum cannot.

Friedman, Greedy Function Approximation: A Gradient Boosting Machine, 2001.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Trees:
    """Trees over named numbers.

    names: the number of each place.  start: ``[K]``, the scores before any tree.
    trees: fault's place → trees. A tree is its value, or ``[place, threshold, missing, mean, left,
    right]``: a number at most as large as the threshold goes left, and so does a missing one where
    ``missing`` is 1. mean: of the values below, by how many logs of the corpus came there.
    """

    names: tuple[str, ...]
    start: tuple[float, ...]
    trees: tuple[tuple[Any, ...], ...]

    def scores(self, numbers: Mapping[str, float]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the scores ``[K]``, and what each number adds to them ``[K]``.

        What a number adds is the change of the mean at each fork where it is asked for (Saabas,
        Interpreting random forests, 2014).
        """
        total, said = np.array(self.start), {name: np.zeros(len(self.start)) for name in self.names}
        for place, trees in enumerate(self.trees):
            for tree in trees:
                total[place] += _mean(tree)
                for name, change in self._changes(tree, numbers):
                    total[place] += change
                    said[name][place] += change
        return total, said

    def _changes(self, tree: Any, numbers: Mapping[str, float]) -> Iterator[tuple[str, float]]:
        while not isinstance(tree, int | float):
            place, threshold, missing, mean, left, right = tree
            value = numbers[self.names[place]]
            goes_left = bool(missing) if math.isnan(value) else value <= threshold
            tree = left if goes_left else right
            yield self.names[place], _mean(tree) - mean


def _mean(tree: Any) -> float:
    return float(tree) if isinstance(tree, int | float) else float(tree[3])
