"""The probabilities of the fitted model without what each number has said, in one pass over arrays.

They are those of `Model.judge`, which takes a hundred times as long: a look after every epoch must
not be felt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from pipeline.diagnosis.learned.model import Class, Model, fitted
from pipeline.diagnosis.learned.trees import Trees


class _Terms:
    """The terms of a model: F numbers, M knots at most, K classes.

    knots: ``[F, M]``, filled up with infinity.  weights: ``[F, M, K]``.  missing: ``[F, K]``.
    """

    def __init__(self, model: Model) -> None:
        terms = list(model.terms.values())
        most = max(len(term.knots) for term in terms)
        self.names = tuple(model.terms)
        self.knots = np.full((len(terms), most), np.inf)
        self.weights = np.zeros((len(terms), most, len(model.classes)))
        for place, term in enumerate(terms):
            self.knots[place, : len(term.knots)] = term.knots
            self.weights[place, : len(term.knots)] = term.weights
        self.last = np.array([len(term.knots) - 1 for term in terms])
        self.missing = np.array([term.missing for term in terms])
        self.low = np.array([term.low for term in terms])
        self.high = np.array([term.high for term in terms])

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the sum ``[K]`` of what the numbers ``[F]`` add."""
        there, rows = ~np.isnan(values), np.arange(len(values))
        right = np.minimum(np.maximum((self.knots < values[:, None]).sum(1), 1), self.last)
        left = np.maximum(right - 1, 0)
        start, end = self.knots[rows, left], self.knots[rows, right]
        width = np.where(end > start, end - start, 1.0)
        share = np.clip(np.where(there, (values - start) / width, 0.0), 0.0, 1.0)[:, None]
        between = (1 - share) * self.weights[rows, left] + share * self.weights[rows, right]
        total: np.ndarray = np.where(there[:, None], between, self.missing).sum(0)
        return total

    def distance(self, values: np.ndarray) -> float:
        """Return how far the numbers lie outside those of the corpus."""
        beyond = np.maximum(np.maximum(self.low - values, values - self.high), 0.0)
        width = np.maximum(self.high - self.low, 1e-9)
        return float(np.minimum(np.nan_to_num(beyond / width), 1.0).sum())


class _Forest:
    """Every node of all trees in one list. A leaf leads to itself."""

    def __init__(self, trees: Trees) -> None:
        self.names, self.start = trees.names, np.array(trees.start)
        self.depth, self.roots, self.classes = 0, list[int](), list[int]()
        self.nodes: list[tuple[int, float, bool, int, int, float]] = []
        for place, grown in enumerate(trees.trees):
            for tree in grown:
                self.classes.append(place)
                self.roots.append(self._added(tree, 0))
        columns = [np.array(column) for column in zip(*self.nodes, strict=True)]
        self.number, self.limit, self.gap_left, self.left, self.right, self.value = columns

    def _added(self, tree: Any, depth: int) -> int:
        """Add a tree below the nodes so far; return its place."""
        self.depth, place = max(self.depth, depth), len(self.nodes)
        if isinstance(tree, int | float):
            self.nodes.append((0, 0.0, False, place, place, float(tree)))
            return place
        number, limit, gap, _, low, high = tree
        self.nodes.append((0, 0.0, False, 0, 0, 0.0))
        left, right = self._added(low, depth + 1), self._added(high, depth + 1)
        self.nodes[place] = (number, limit, bool(gap), left, right, 0.0)
        return place

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the scores ``[K]`` for the numbers of `names`."""
        at = np.array(self.roots)
        for _ in range(self.depth):
            value = values[self.number[at]]
            goes_left = np.where(np.isnan(value), self.gap_left[at], value <= self.limit[at])
            at = np.where(goes_left, self.left[at], self.right[at])
        grown = np.bincount(self.classes, weights=self.value[at], minlength=len(self.start))
        return self.start + grown


class FastModel:
    """A model as arrays."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._terms, self._forest = _Terms(model), _Forest(model.trees)
        shown = model.shown
        self._shown = tuple(dict.fromkeys(shown))
        self._place_of = [self._shown.index(each) for each in shown]

    def probabilities(self, numbers: Mapping[str, float]) -> dict[Class, float]:
        """Return the probability of each family with a verdict."""
        model = self._model
        values = np.array([numbers[name] for name in self._terms.names])
        seen = np.array([numbers[name] for name in self._forest.names])
        scores = model.intercepts + self._terms.scores(values) + self._forest.scores(seen)
        widened = model.temperature * (1 + model.widening * self._terms.distance(values))
        scores = scores / (2 * widened)
        odds = np.exp(scores - scores.max())
        p = np.bincount(self._place_of, weights=odds / odds.sum())
        return dict(zip(self._shown, p.tolist(), strict=True))


@cache
def fast_model() -> FastModel:
    """Return the model that comes with the package."""
    return FastModel(fitted())
