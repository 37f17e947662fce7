"""Fit the model of `pipeline diagnose` to the corpus, and say how good it is across families.

    OMP_NUM_THREADS=1 python benchmarks/curves/fit.py  # a few minutes; writes weights.json
    python benchmarks/curves/fit.py --check    # cross-validation only
    python benchmarks/curves/fit.py --parts    # every part by models of all others

But for ``--parts``, only `cases.FITTED` are read. Every choice (numbers, strength of the penalty,
softened logs, temperature, limits of the verdict) is made by leaving out data set *and* kind of
network: a log is judged by models that have seen neither, and by the facts that need no model. The
softened logs (`soften.py`) are only learned from, never judged. Every fourth log is learned from
without its training part too. A log whose loss was lost is a fact, so the model never sees one: it
would take each curve that is missing for a lost one. The choices see one log of two seeds of each
case, the weights see all.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.tree import ExtraTreeRegressor

sys.path.insert(0, str(Path(__file__).parent))

from cases import FITTED, PARTS, SEEDS, SHOWN_AS
from dress import logged
from pack import Run, runs
from scores import Told, best_limits, by_group, by_part, decided, table
from soften import drawn, holds, reached

from pipeline.diagnosis.learned.facts import guarded_at_end
from pipeline.diagnosis.learned.model import Judged
from pipeline.diagnosis.learned.numbers import NAMES, numbers

WEIGHTS = Path(__file__).parents[2] / "src" / "pipeline" / "diagnosis" / "learned" / "weights.json"
NUM_DRESSES = 2  # ways of logging in which each run is shown
NUM_SOFT = 1  # and how often as on data with unsure answers
ALONE = 0.25  # of the logs are shown without their training part too
CHOSEN_BY = 2  # seeds of each case that the choices see, each shown in one way
QUANTILES = (0.01, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)
LEAST_SHARE = 0.005  # of the logs in a class
CELLS = 2  # folds for each kind of network, each with every second data set
VARIANTS = ("_unsure", "_noisy", "_rare", "coloured_")  # of one and the same data set
RECURRENT = ("rnn", "gru", "lstm")  # one kind of network
NEVER = -30.0  # the score of a class that a fold has not seen
STRENGTH = 0.05  # of the data against the penalty, `LogisticRegression(C=…)`
# Of the trees: rounds of one tree for each class, and the share of the logs that a round sees.
ROUNDS, SHARE_A_ROUND, RATE, DAMPING = 80, 0.7, 0.15, 3.0
MISSING = -30.0  # below every number, see `numbers.LARGEST`
Splits = Iterator[tuple[np.ndarray, np.ndarray]]
# Rates whose optimizer is not known and the number of points tell the data set and the network
# rather than the fault.
LEFT_OUT = frozenset(("points", "learning_rate", "rate_fall", "lost", "perfect"))


@dataclass(frozen=True)
class Sample:
    """Logs of the corpus. N logs.

    numbers: ``[N, F]``, NaN where missing.  classes: ``[N]``, a family and a fault as
    ``family/fault``.  groups: ``[N]``, data set and network as ``data-net``.  parts: ``[N]``.
    soft: ``[N]``, whether it is softened.  alone: ``[N]``, whether it shows validation alone.
    """

    numbers: np.ndarray
    classes: np.ndarray
    groups: np.ndarray
    parts: np.ndarray
    soft: np.ndarray
    alone: np.ndarray

    def at(self, rows: np.ndarray) -> Sample:
        """Some of the logs."""
        return Sample(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def lost(self) -> np.ndarray:
        """``[N]``, whether the loss was lost."""
        return self.numbers[:, NAMES.index("lost")] > 0

    @property
    def real(self) -> np.ndarray:
        """``[N]``, whether it is judged as a run's own log."""
        return ~self.soft & ~self.alone

    @property
    def weights(self) -> np.ndarray:
        """``[N]``, mean 1: a log of a large pair or of a common family counts less.

        Both by the square root, half way between equal logs and equal groups.
        """
        families = np.array([name.split("/")[0] for name in self.classes])
        weights = np.ones(len(families))
        for kinds in (self.groups, families):
            _, place, counts = np.unique(kinds, return_inverse=True, return_counts=True)
            weights /= np.sqrt(counts[place])
        return weights / weights.mean()


def sample(*parts: str, dresses: int, soft: int, seeds: int = 5) -> Sample:
    """Show the runs of some parts in a few of the ways in which tools log, some softened.

    seeds: the first so many of each case.
    """
    every = list(runs(*parts))
    reach = reached(every)
    first = {part: SEEDS[part][0] for part in parts}
    rows = [
        (run, *shown)
        for run in every
        if run.settings["seed"] - first[run.part] < seeds
        for shown in _shown(run, dresses, soft, reach[run.pair])
    ]
    return Sample(
        np.array([[found[name] for name in NAMES] for _, found, _, _ in rows]),
        np.array([f"{run.family}/{run.fault}" for run, _, _, _ in rows]),
        np.array(["-".join(run.pair) for run, _, _, _ in rows]),
        np.array([run.part for run, _, _, _ in rows]),
        np.array([is_soft for _, _, is_soft, _ in rows]),
        np.array([is_alone for _, _, _, is_alone in rows]),
    )


def _shown(
    run: Run, dresses: int, soft: int, reach: float
) -> Iterator[tuple[dict[str, float], bool, bool]]:
    """The numbers of a run's logs, whether each is softened, and whether it is without training."""
    for number in range(dresses):
        curves = logged(run, key=f"{run.part} {number}")
        yield numbers(curves), False, False
        if _drawn_alone(run, number):
            yield numbers(replace(curves, train_loss=None, train_accuracy=None)), False, True
    for number in range(1, 1 + soft):
        key = f"{run.part} soft {number}"
        noise = drawn(run, key)
        if holds(run, noise, reach):
            yield numbers(noise.curves(logged(run, key=key))), True, False


def _drawn_alone(run: Run, number: int) -> bool:
    return random.Random(f"{run.case} {run.settings['seed']} alone {number}").random() < ALONE


def usual(data: Sample, *, of: int = 0) -> Sample:
    """The logs of classes that are not rare, as far as no loss was lost.

    of: the logs of which a class needs its share, where ``data`` is a part of them.
    """
    data = data.at(~data.lost)
    names, counts = np.unique(data.classes, return_counts=True)
    enough = counts >= LEAST_SHARE * max(of, len(data.classes))
    return data.at(np.isin(data.classes, names[enough]))


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
        self.regression.fit(self.basis(data.numbers), data.classes, sample_weight=data.weights)
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
    """Boosted trees of eight leaves, eighty for every class (Friedman, 2001).

    Each fork takes the best of thresholds that are drawn at random, one for each number (Geurts et
    al., Extremely Randomized Trees, 2006). A missing number goes to the left at every fork.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.columns = [NAMES.index(name) for name in names]

    def fit(self, data: Sample) -> Grown:
        x = data.numbers[:, self.columns]
        moving = [len(np.unique(column[~np.isnan(column)])) > 2 for column in x.T]
        self.columns = [c for c, moves in zip(self.columns, moving, strict=True) if moves]
        x, weights, dice = self._filled(data.numbers), data.weights, np.random.RandomState(0)
        kinds, index = np.unique(data.classes, return_inverse=True)
        self.start = np.log(np.bincount(index, weights=weights) / weights.sum())
        self.trees: list[list[tuple[Any, np.ndarray]]] = [[] for _ in kinds]
        scores = np.tile(self.start, (len(x), 1))
        for _ in range(ROUNDS):
            some = np.flatnonzero(dice.rand(len(x)) < SHARE_A_ROUND)
            p = probabilities(scores, 1.0)
            for k in range(len(kinds)):
                wrong, spread = (index == k) - p[:, k], p[:, k] * (1 - p[:, k])
                tree = ExtraTreeRegressor(
                    max_leaf_nodes=8, min_samples_leaf=15, max_features=0.4,
                    random_state=dice.randint(2**30),
                ).fit(x[some], wrong[some], sample_weight=weights[some])  # fmt: skip
                leaves, count = tree.tree_.apply(x), tree.tree_.node_count
                up = np.bincount(leaves, weights * wrong, count)
                values = RATE * up / (np.bincount(leaves, weights * spread, count) + DAMPING)
                scores[:, k] += values[leaves]
                self.trees[k].append((tree.tree_, values))
        return self

    def _filled(self, numbers: np.ndarray) -> np.ndarray:
        """The columns, with a missing number below every other one."""
        x = numbers[:, self.columns]
        return np.ascontiguousarray(np.where(np.isnan(x), MISSING, x), np.float32)

    def scores(self, numbers: np.ndarray) -> np.ndarray:
        """``[N, K]``."""
        x = self._filled(numbers)
        return self.start + np.stack(
            [sum(values[tree.apply(x)] for tree, values in grown) for grown in self.trees], 1
        )

    def content(self) -> dict[str, object]:
        """The trees as `pipeline.diagnosis.learned.trees.Trees` reads them."""
        return {
            "names": [NAMES[column] for column in self.columns],
            "start": self.start.round(4).tolist(),
            "trees": [[_tree(*one, 0)[0] for one in grown] for grown in self.trees],
        }


def _tree(tree: Any, values: np.ndarray, place: int) -> tuple[object, float, int]:
    """A node as nested lists, its mean value, and how many logs came there."""
    if tree.children_left[place] < 0:
        value = round(float(values[place]), 4)
        return value, value, int(tree.n_node_samples[place])
    left, left_mean, left_count = _tree(tree, values, tree.children_left[place])
    right, right_mean, right_count = _tree(tree, values, tree.children_right[place])
    count = left_count + right_count
    mean = round((left_mean * left_count + right_mean * right_count) / count, 4)
    threshold = float(f"{tree.threshold[place]:.7g}")
    return [int(tree.feature[place]), threshold, 1, mean, left, right], mean, count


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


def left_out(data: Sample, names: Sequence[str], splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``[N, K]`` and distances ``[N]`` by models that saw other logs only.

    splits: logs that are judged ``[N]`` and those that the model may see ``[N]``, one by one.
    """
    classes = classes_of(data)
    scores, distances = np.full((len(data.soft), len(classes)), NEVER), np.zeros(len(data.soft))
    for out, seen in splits:
        out = out & ~data.soft
        summed, grown = fitted_to(seen, data, names)
        numbers, known = data.numbers[out], np.searchsorted(classes, summed.classes)
        scores[np.ix_(out, known)] = (summed.scores(numbers) + grown.scores(numbers)) / 2
        distances[out] = summed.distances(numbers)
        print(f"  {int(out.sum())} logs by {int(seen.sum())} others", flush=True)
    return scores, distances


def fitted_to(seen: np.ndarray, data: Sample, names: Sequence[str]) -> tuple[Additive, Grown]:
    """Fit to the logs of usual classes among some."""
    known = usual(data.at(seen), of=len(data.soft))
    return Additive(names).fit(known), Grown(names).fit(known)


def beside_facts(data: Sample, p: np.ndarray, names: np.ndarray) -> np.ndarray:
    """``[N, K]``: the probabilities of the classes ``[K]`` with the facts that need no model."""
    classes = [(family, fault) for family, fault in zip(*split(names), strict=True)]
    told = np.zeros_like(p)
    for row, values in enumerate(data.numbers):
        found = dict(zip(NAMES, values.tolist(), strict=True))
        judged = Judged(dict(zip(classes, p[row].tolist(), strict=True)), {}, 0.0)
        said = guarded_at_end(judged, found).classes
        told[row] = [said[each] for each in classes]
    return told


def classes_of(data: Sample) -> np.ndarray:
    """The classes that are fitted, sorted."""
    return np.unique(usual(data).classes)


def folds(groups: np.ndarray) -> Splits:
    """Logs that are judged ``[N]`` and those that the model may see ``[N]``, fold by fold.

    A fold judges a kind of network on some data sets. The model sees no network of this kind and
    none of these data sets, nor a variant of one.
    """
    pairs = [group.rsplit("-", 1) for group in groups]
    data = np.array([_without_variant(name) for name, _ in pairs])
    nets = np.array(["recurrent" if net in RECURRENT else net for _, net in pairs])
    for net in np.unique(nets):
        names = np.unique(data[nets == net])
        for first in range(min(CELLS, len(names))):
            chosen = np.isin(data, names[first::CELLS])
            yield chosen & (nets == net), ~chosen & (nets != net)


def by_parts(parts: np.ndarray, groups: np.ndarray) -> Splits:
    """Each part's logs, and those that are strange to it."""
    for part in np.unique(parts):
        yield parts == part, strange_to(part, parts, groups)


def strange_to(part: str, parts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """``[N]``: the logs of other parts, on data sets of which the part has no variant."""
    sets = np.array([_without_variant(group.rsplit("-", 1)[0]) for group in groups])
    return ~np.isin(sets, np.unique(sets[parts == part]))


def _without_variant(name: str) -> str:
    for variant in VARIANTS:
        name = name.replace(variant, "")
    return name


def calibrated(
    data: Sample, real: np.ndarray, scores: np.ndarray, distances: np.ndarray
) -> tuple[float, float]:
    """Temperature and widening with the least cross-entropy of the family, real logs left out.

    Not of the class: some folds have never seen a class, and would ask for a high temperature.
    """
    families = split(classes_of(data))[0]
    kinds, index = np.unique(split(data.classes[real])[0], return_inverse=True)

    def loss(temperature: float, widening: float) -> float:
        p = probabilities(scores, temperature * (1 + widening * distances))
        q = np.stack([p[:, families == kind].sum(1) for kind in kinds], 1)
        return float(-np.log(np.maximum(q[np.arange(len(q)), index], 1e-6)).mean())

    def best(widening: float) -> tuple[float, float]:
        found = minimize_scalar(lambda t: loss(t, widening), bounds=(0.3, 5), method="bounded")
        return float(found.fun), float(found.x)

    widening = min((0.0, 0.1, 0.2, 0.5, 1.0), key=lambda w: best(w)[0])
    return best(widening)[1], widening


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities and verdicts of scores, see `pipeline.diagnosis.learned.model`."""

    temperature: float
    widening: float
    limits: Mapping[str, float]


def content(model: Additive, trees: Grown, calibration: Calibration) -> dict[str, object]:
    """The model as `pipeline.diagnosis.learned.model.Model` reads it, four digits each."""
    coefficients, start, terms = model.regression.coef_, 0, {}
    for name, knots, (low, high) in zip(model.names, model.knots, model.limits, strict=True):
        block = coefficients[:, start : start + 1 + len(knots)].T
        block = block.round(4)
        start += 1 + len(knots)
        terms[name] = {
            "knots": knots.tolist(), "weights": block[1:].tolist(), "missing": block[0].tolist(),
            "low": round(low, 4), "high": round(high, 4),
        }  # fmt: skip
    return {
        "version": 3,
        "made_by": "python benchmarks/curves/fit.py",
        "classes": [name.split("/") for name in model.classes],
        "intercepts": model.regression.intercept_.round(4).tolist(),
        "temperature": round(calibration.temperature, 4),
        "widening": calibration.widening,
        "limits": calibration.limits,
        "shown_as": SHOWN_AS,
        "terms": terms,
        "trees": trees.content(),
    }


def write(model: Additive, trees: Grown, calibration: Calibration) -> None:
    """Write the weights."""
    text = json.dumps(content(model, trees, calibration), separators=(",", ":"))
    WEIGHTS.write_text(text.replace('},"', '},\n"').replace("]],[[", "]],\n[[") + "\n")
    print(f"{WEIGHTS.name}: {len(model.names)} numbers, {WEIGHTS.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--parts", action="store_true", help="judge every part; write nothing")
    options = parser.parse_args()
    used = PARTS if options.parts else FITTED
    data = sample(*used, dresses=1, soft=NUM_SOFT, seeds=CHOSEN_BY)
    names = [name for name in NAMES if name not in LEFT_OUT]
    splits = by_parts(data.parts, data.groups) if options.parts else folds(data.groups)
    scores, distances = left_out(data, names, splits)
    open_logs = data.real & ~data.lost
    temperature, widening = calibrated(data, open_logs, scores[open_logs], distances[open_logs])
    p = probabilities(scores, temperature * (1 + widening * distances))
    told, alone = (_told(data, p, rows) for rows in (data.real, data.alone))
    pairs = len(np.unique(data.groups))
    print(f"{len(told.p)} logs of {pairs} pairs")
    print(table(told))
    if options.parts:
        print(f"limits from the other parts:\n{by_part(told, data.parts[data.real])}")
        return
    limits = best_limits(told)
    print(f"limits {limits}: {decided(told, limits).in_words}")
    print(by_group(told, limits, data.groups[data.real]))
    print(f"{len(alone.p)} logs without training: {decided(alone, limits).in_words}")
    print(f"temperature {temperature:.2f}, widening {widening}")
    if not options.check:
        seen = usual(sample(*FITTED, dresses=NUM_DRESSES, soft=NUM_SOFT))
        model, trees = Additive(names).fit(seen), Grown(names).fit(seen)
        write(model, trees, Calibration(temperature, widening, limits))


def _told(data: Sample, p: np.ndarray, rows: np.ndarray) -> Told:
    """What is said of some logs, facts included."""
    logs = data.at(rows)
    said = beside_facts(logs, p[rows], classes_of(data))
    return Told(said, *split(classes_of(data)), *split(logs.classes))


def split(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Families and faults of classes."""
    pairs = [name.split("/") for name in classes]
    return np.array([family for family, _ in pairs]), np.array([fault for _, fault in pairs])


if __name__ == "__main__":
    main()
