"""The fitted model: the mean of an additive logistic regression and of small boosted trees.

In the first, each number adds to the score of every fault a piecewise linear function of its value,
or a constant where it is missing (Hastie and Tibshirani, Generalized Additive Models, 1986). The
trees see a few numbers together. In both, what a number has said for or against a fault can be
read off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from pydantic import TypeAdapter

from pipeline.diagnosis.learned.trees import Trees

WEIGHTS = "weights.json"
Class = tuple[str, str]  # a family with a fault or a verdict


@dataclass(frozen=True)
class Term:
    """What one number adds to the scores of the K classes.

    knots: ``[M]`` increasing.  weights: ``[M][K]``, between knots interpolated, beyond them flat.
    missing: ``[K]``, where the number is missing.
    low, high: between them lie 98 % of the corpus.
    """

    knots: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    missing: tuple[float, ...]
    low: float
    high: float

    def scores(self, value: float) -> np.ndarray:
        """Return ``[K]`` float64."""
        if math.isnan(value):
            return np.array(self.missing)
        return hats(value, np.array(self.knots)) @ np.array(self.weights)

    def outside(self, value: float) -> float:
        """How far a value lies beyond the corpus, in widths of it; 0 within or where missing."""
        width = max(self.high - self.low, 1e-9)
        beyond = max(self.low - value, value - self.high, 0.0)
        return 0.0 if math.isnan(value) else min(beyond / width, 1.0)


@dataclass(frozen=True)
class Model:
    """The terms by number, the trees, and what calibrates their mean.

    classes: ``[K]``, each a family (what happened to the run) with a fault (why).
    temperature: divides the scores.  widening: how much one unit of distance adds to it.
    limits: family → the least probability from which on a verdict names it; of a fault, against
    health alone.
    shown_as: a fault that curves cannot tell from another → that other, under which it is counted.
    """

    version: int
    made_by: str
    classes: tuple[Class, ...]
    intercepts: tuple[float, ...]
    temperature: float
    widening: float
    limits: Mapping[str, float]
    shown_as: Mapping[str, str]
    terms: Mapping[str, Term]
    trees: Trees

    def judge(self, numbers: Mapping[str, float]) -> Judged:
        """Judge a curve by its numbers."""
        summed = {name: term.scores(numbers[name]) for name, term in self.terms.items()}
        distance = sum(term.outside(numbers[name]) for name, term in self.terms.items())
        grown, changes = self.trees.scores(numbers)
        nothing = np.zeros(len(self.classes))
        parts = {
            name: (summed.get(name, nothing) + changes.get(name, nothing)) / 2
            for name in dict.fromkeys((*summed, *changes))
        }
        scores = (np.array(self.intercepts) + sum(summed.values()) + grown) / 2
        scores = scores / (self.temperature * (1 + self.widening * distance))
        odds = np.exp(scores - scores.max())
        p = odds / odds.sum()
        shown = self.shown
        return Judged(
            {each: float(p[_places(shown, each)].sum()) for each in dict.fromkeys(shown)},
            {
                name: {each: _mean(part, p, _places(shown, each)) for each in dict.fromkeys(shown)}
                for name, part in parts.items()
            },
            distance,
        )

    @property
    def shown(self) -> tuple[Class, ...]:
        """``[K]``: the classes, with the faults that curves can show."""
        return tuple((family, self.shown_as.get(fault, fault)) for family, fault in self.classes)


def _places(shown: Sequence[Class], each: Class) -> list[int]:
    return [place for place, other in enumerate(shown) if other == each]


def _mean(part: np.ndarray, p: np.ndarray, index: list[int]) -> float:
    """The mean score of some classes, by their probability."""
    return float(np.average(part[index], weights=np.maximum(p[index], 1e-12)))


@dataclass(frozen=True)
class Judged:
    """What the model says of one run.

    classes: family and verdict → probability.  said: number → class → what it added to the score.
    distance: how far the numbers lie outside those of the corpus, 0 for within.
    """

    classes: Mapping[Class, float]
    said: Mapping[str, Mapping[Class, float]]
    distance: float

    @property
    def families(self) -> dict[str, float]:
        """Family → probability."""
        return _summed((family, p) for (family, _), p in self.classes.items())

    @property
    def verdicts(self) -> dict[str, float]:
        """Verdict → probability."""
        return _summed((verdict, p) for (_, verdict), p in self.classes.items())

    def within(self, family: str) -> dict[str, float]:
        """Verdict → probability that the run is of this family and has this fault."""
        return {verdict: p for (name, verdict), p in self.classes.items() if name == family}

    def reasons(self, family: str, verdict: str) -> list[tuple[str, float]]:
        """Numbers that speak for a class against the others, the strongest first, with the weight.

        The weight is the difference to the mean score of the others, by their probability.
        """
        this = (family, verdict)
        others = {each: p for each, p in self.classes.items() if each != this}
        total = sum(others.values()) or 1.0
        weights = {
            name: scores[this] - sum(p * scores[each] for each, p in others.items()) / total
            for name, scores in self.said.items()
        }
        return sorted(weights.items(), key=lambda pair: -pair[1])


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, p in pairs:
        total[name] = total.get(name, 0.0) + p
    return total


def hats(value: float, knots: np.ndarray) -> np.ndarray:
    """Weights ``[M]`` of the knots for linear interpolation at a value; they sum to 1."""
    out = np.zeros(len(knots))
    right = int(np.searchsorted(knots, value))
    if right == 0 or right == len(knots):
        out[min(right, len(knots) - 1)] = 1.0
        return out
    share = (value - knots[right - 1]) / (knots[right] - knots[right - 1])
    out[right - 1], out[right] = 1 - share, share
    return out


@cache
def fitted() -> Model:
    """Return the model that comes with the package."""
    text = resources.files(__package__).joinpath(WEIGHTS).read_bytes()
    return TypeAdapter(Model).validate_json(text)
