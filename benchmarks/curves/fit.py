"""Fit the model of `pipeline diagnose` to the corpus, and say how good it is across families.

    OMP_NUM_THREADS=1 python benchmarks/curves/fit.py  # three minutes; writes weights.json
    python benchmarks/curves/fit.py --check    # cross-validation only

Only the parts `cases.FITTED` are read. Every choice (numbers, strength of the penalty, temperature)
is made by leaving out whole pairs of data set and network.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent))

from cases import FITTED, SHOWN_AS
from dress import logged
from pack import runs
from scores import Told, decisions, table

from pipeline.diagnosis.learned.numbers import NAMES, numbers

WEIGHTS = Path(__file__).parents[2] / "src" / "pipeline" / "diagnosis" / "learned" / "weights.json"
NUM_DRESSES = 4  # ways of logging in which each run is shown
QUANTILES = (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)
LEAST_LOGS = 100  # of a class
FOLDS = 14
NEVER = -30.0  # the score of a class that a fold has not seen
STRENGTH = 0.05  # of the data against the penalty, `LogisticRegression(C=…)`
# Rates whose optimizer is not known and the number of points tell the data set and the network
# rather than the fault.
LEFT_OUT = frozenset(("points", "learning_rate", "rate_fall"))


@dataclass(frozen=True)
class Sample:
    """Logs of the corpus. N logs.

    numbers: ``[N, F]``, NaN where missing.  classes: ``[N]``, a family and a fault as
    ``family/fault``.  groups: ``[N]``, data set and network.
    """

    numbers: np.ndarray
    classes: np.ndarray
    groups: np.ndarray

    def at(self, rows: np.ndarray) -> Sample:
        return Sample(self.numbers[rows], self.classes[rows], self.groups[rows])


def sample(*parts: str, dresses: int) -> Sample:
    """Show every run of some parts in a few of the ways in which tools log."""
    rows, classes, groups = [], [], []
    for run in runs(*parts):
        for number in range(dresses):
            found = numbers(logged(run, key=f"{run.part} {number}"))
            rows.append([found[name] for name in NAMES])
            classes.append(f"{run.family}/{run.fault}")
            groups.append("-".join(run.pair))
    return Sample(np.array(rows), np.array(classes), np.array(groups))


def usual(data: Sample) -> Sample:
    """The logs of classes that are not rare: a few logs teach nothing of a class."""
    names, counts = np.unique(data.classes, return_counts=True)
    return data.at(np.isin(data.classes, names[counts >= LEAST_LOGS]))


class Additive:
    """The additive model: hat functions between quantiles, and a constant for a missing number."""

    def __init__(self, names: Sequence[str], *, strength: float = STRENGTH) -> None:
        self.columns = [NAMES.index(name) for name in names]
        self.names, self.strength = list(names), strength

    def fit(self, data: Sample) -> Additive:
        x = data.numbers[:, self.columns]
        self.knots = [_knots(column) for column in x.T]
        self.limits = [_limits(column) for column in x.T]
        self.regression = LogisticRegression(C=self.strength, max_iter=500, tol=1e-3)
        self.regression.fit(self.basis(data.numbers), data.classes)
        self.classes = self.regression.classes_
        return self

    def basis(self, numbers: np.ndarray) -> np.ndarray:
        x = numbers[:, self.columns]
        blocks = zip(x.T, self.knots, strict=True)
        return np.hstack([_hats(column, knots) for column, knots in blocks])

    def scores(self, numbers: np.ndarray) -> np.ndarray:
        """``[N, K]``."""
        return self.regression.decision_function(self.basis(numbers))

    def distances(self, numbers: np.ndarray) -> np.ndarray:
        """``[N]``: as `pipeline.diagnosis.learned.model.Term.outside`, summed."""
        total = np.zeros(len(numbers))
        for column, (low, high) in zip(numbers[:, self.columns].T, self.limits, strict=True):
            beyond = np.maximum(np.maximum(low - column, column - high), 0) / max(high - low, 1e-9)
            total += np.minimum(np.nan_to_num(beyond), 1.0)
        return total


class Grown:
    """Boosted trees of five forks each, seventy for every class."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = [NAMES.index(name) for name in names]

    def fit(self, data: Sample) -> Grown:
        x = data.numbers[:, self.columns]
        moving = [len(np.unique(column[~np.isnan(column)])) > 2 for column in x.T]
        self.columns = [c for c, moves in zip(self.columns, moving, strict=True) if moves]
        self.boosting = HistGradientBoostingClassifier(
            max_iter=70, learning_rate=0.12, max_leaf_nodes=6, min_samples_leaf=50,
            l2_regularization=10, max_features=0.4, random_state=0,
        )  # fmt: skip
        self.boosting.fit(data.numbers[:, self.columns], data.classes)
        return self

    def scores(self, numbers: np.ndarray) -> np.ndarray:
        """``[N, K]``."""
        return self.boosting.decision_function(numbers[:, self.columns])

    def content(self) -> dict[str, object]:
        """The trees as `pipeline.diagnosis.learned.trees.Trees` reads them."""
        rounds = self.boosting._predictors
        by_fault = [
            [_tree(one[place].nodes, 0)[0] for one in rounds] for place in range(len(rounds[0]))
        ]
        return {
            "names": [NAMES[column] for column in self.columns],
            "start": self.boosting._baseline_prediction.ravel().round(4).tolist(),
            "trees": by_fault,
        }


def _tree(nodes: np.ndarray, place: int) -> tuple[object, float, int]:
    """A node as nested lists, its mean value, and how many logs came there."""
    node = nodes[place]
    if node["is_leaf"]:
        value = round(float(node["value"]), 4)
        return value, value, int(node["count"])
    left, left_mean, left_count = _tree(nodes, node["left"])
    right, right_mean, right_count = _tree(nodes, node["right"])
    count = left_count + right_count
    mean = round((left_mean * left_count + right_mean * right_count) / count, 4)
    threshold = float(f"{node['num_threshold']:.7g}")
    missing = int(node["missing_go_to_left"])
    return [int(node["feature_idx"]), threshold, missing, mean, left, right], mean, count


def _knots(column: np.ndarray) -> np.ndarray:
    there = column[~np.isnan(column)]
    return np.unique(np.round(np.quantile(there, QUANTILES), 4)) if len(there) else np.zeros(1)


def _limits(column: np.ndarray) -> tuple[float, float]:
    there = column[~np.isnan(column)]
    low, high = np.quantile(there, (0.01, 0.99)) if len(there) else (0.0, 0.0)
    return float(low), float(high)


def _hats(column: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """``[N, 1 + M]``: whether the number is missing, and the weights of the knots."""
    missing = np.isnan(column)
    x = np.clip(np.where(missing, knots[0], column), knots[0], knots[-1])
    out = np.zeros((len(x), 1 + len(knots)))
    out[:, 0] = missing
    for place in range(len(knots)):
        unit = np.zeros(len(knots))
        unit[place] = 1.0
        out[:, 1 + place] = np.where(missing, 0.0, np.interp(x, knots, unit))
    return out


def probabilities(scores: np.ndarray, temperature: np.ndarray | float) -> np.ndarray:
    """``[N, K]``."""
    scaled = scores / np.asarray(temperature).reshape(-1, 1)
    odds = np.exp(scaled - scaled.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def left_out(data: Sample, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``[N, K]`` and distances ``[N]`` of every log by models that never saw its pair."""
    classes, folds = classes_of(data), folded(data.groups)
    scores, distances = np.full((len(folds), len(classes)), NEVER), np.zeros(len(folds))
    for fold in np.unique(folds):
        out = folds == fold
        seen = usual(data.at(~out))
        summed, grown = Additive(names).fit(seen), Grown(names).fit(seen)
        numbers, known = data.numbers[out], np.searchsorted(classes, summed.classes)
        scores[np.ix_(out, known)] = (summed.scores(numbers) + grown.scores(numbers)) / 2
        distances[out] = summed.distances(numbers)
    return scores, distances


def classes_of(data: Sample) -> np.ndarray:
    """The classes that are fitted, sorted."""
    return np.unique(usual(data).classes)


def folded(groups: np.ndarray) -> np.ndarray:
    """A fold for each group: whole pairs, as many logs in each of `FOLDS` as can be."""
    names, counts = np.unique(groups, return_counts=True)
    sizes, fold_of = np.zeros(FOLDS), {}
    for place in np.argsort(-counts):
        fold_of[names[place]] = int(sizes.argmin())
        sizes[sizes.argmin()] += counts[place]
    return np.array([fold_of[group] for group in groups])


def calibrated(data: Sample, scores: np.ndarray, distances: np.ndarray) -> tuple[float, float]:
    """Temperature and widening with the least cross-entropy over the pairs left out."""
    known = np.isin(data.classes, classes_of(data))
    scores, distances = scores[known], distances[known]
    index = np.searchsorted(classes_of(data), data.classes[known])

    def loss(temperature: float, widening: float) -> float:
        p = probabilities(scores, temperature * (1 + widening * distances))
        return float(-np.log(np.maximum(p[np.arange(len(p)), index], 1e-9)).mean())

    def best(widening: float) -> tuple[float, float]:
        found = minimize_scalar(lambda t: loss(t, widening), bounds=(0.3, 5), method="bounded")
        return float(found.fun), float(found.x)

    widening = min((0.0, 0.1, 0.2, 0.5, 1.0), key=lambda w: best(w)[0])
    return best(widening)[1], widening


def write(model: Additive, trees: Grown, temperature: float, widening: float) -> None:
    """Write the weights, four digits each."""
    coefficients, start, terms = model.regression.coef_, 0, {}
    for name, knots, (low, high) in zip(model.names, model.knots, model.limits, strict=True):
        block = coefficients[:, start : start + 1 + len(knots)].T
        block = block.round(4)
        start += 1 + len(knots)
        terms[name] = {
            "knots": knots.tolist(), "weights": block[1:].tolist(), "missing": block[0].tolist(),
            "low": round(low, 4), "high": round(high, 4),
        }  # fmt: skip
    content = {
        "version": 2,
        "made_by": "python benchmarks/curves/fit.py",
        "classes": [name.split("/") for name in model.classes],
        "intercepts": model.regression.intercept_.round(4).tolist(),
        "temperature": round(temperature, 4),
        "widening": widening,
        "shown_as": SHOWN_AS,
        "terms": terms,
        "trees": trees.content(),
    }
    text = json.dumps(content, separators=(",", ":"))
    WEIGHTS.write_text(text.replace('},"', '},\n"').replace("]],[[", "]],\n[[") + "\n")
    print(f"{WEIGHTS.name}: {len(terms)} numbers, {WEIGHTS.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    data = sample(*FITTED, dresses=NUM_DRESSES)
    names = [name for name in NAMES if name not in LEFT_OUT]
    scores, distances = left_out(data, names)
    temperature, widening = calibrated(data, scores, distances)
    p = probabilities(scores, temperature * (1 + widening * distances))
    pairs = len(np.unique(data.groups))
    print(f"{len(p)} logs of {pairs} pairs of data set and network, left out in {FOLDS} folds")
    told = Told(p, *split(classes_of(data)), *split(data.classes))
    print(table(told))
    print(decisions(told))
    print(f"temperature {temperature:.2f}, widening {widening}")
    if not options.check:
        seen = usual(data)
        write(Additive(names).fit(seen), Grown(names).fit(seen), temperature, widening)


def split(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Families and faults of classes."""
    pairs = [name.split("/") for name in classes]
    return np.array([family for family, _ in pairs]), np.array([fault for _, fault in pairs])


if __name__ == "__main__":
    main()
