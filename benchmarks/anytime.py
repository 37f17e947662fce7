"""How often ``stop=early`` errs, and how many runs it saves: simulated experiments.

    python benchmarks/anytime.py                  # 10,000 experiments without any effect, each kind
    python benchmarks/anytime.py --experiments 500

The gains of the pairs are drawn; the decisions are those of `pipeline.verification.anytime`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import stats
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits

from pipeline.diagnosis.paired_trials import FIXED, LEAST_SEEDS, LEVEL, NOT_CONFIRMED
from pipeline.verification.anytime import MOST_PAIRS, is_futile, log_e_values
from pipeline.verification.foreign.judgement import measure_of
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.foreign.runs import Job
from pipeline.verification.foreign.template import Template
from pipeline.verification.foreign.trials import Trials

Draw = Callable[[np.random.Generator, int], np.ndarray]
EFFECTS = (0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
FIXED_PAIRS = (5, 10, MOST_PAIRS)
NULLS: dict[str, Draw] = {
    "normal": lambda g, n: g.normal(size=n),
    "heavy tails: Student's t, 3": lambda g, n: g.standard_t(3, size=n),
    "heavy tails: Student's t, 1": lambda g, n: g.standard_t(1, size=n),
    "skewed losses: exponential arms": lambda g, n: g.exponential(size=n) - g.exponential(size=n),
    "skewed losses: lognormal arms": lambda g, n: g.lognormal(size=n) - g.lognormal(size=n),
    "skewed gains: gamma, 4": lambda g, n: g.gamma(4, size=n) - 4,
    "skewed gains: exponential": lambda g, n: g.exponential(size=n) - 1,
}


def early(gains: np.ndarray, *, stop_if_futile: bool = True) -> tuple[bool, int]:
    """Return whether the pairs decide, and after how many the experiment ends."""
    decides = log_e_values(gains) >= -math.log(1 - LEVEL)
    for n in range(LEAST_SEEDS, len(gains) + 1):
        if decides[n - 1]:
            return True, n
        if stop_if_futile and is_futile(gains[:n], level=LEVEL, most=len(gains)):
            return False, n
    return False, len(gains)


def peeking(gains: np.ndarray) -> bool:
    """Whether a t test after each pair ever says p < 0.05: what the fixed design forbids."""
    return any(FIXED.p_value(gains[:n]) < 1 - LEVEL for n in range(LEAST_SEEDS, len(gains) + 1))


def nulls(experiments: int) -> None:
    """Print the share of experiments without any effect that end in a decision."""
    print(f"no effect, {experiments} experiments each, {MOST_PAIRS} pairs at most, level {LEVEL}")
    print("gains | early | without futility | fixed, 5 pairs | t test at each pair | pairs (early)")
    for name, draw in NULLS.items():
        generator = np.random.default_rng(0)
        drawn = [draw(generator, MOST_PAIRS) for _ in range(experiments)]
        ended = [early(gains) for gains in drawn]
        alone = sum(early(gains, stop_if_futile=False)[0] for gains in drawn)
        fixed = sum(FIXED.p_value(gains[:5]) < 1 - LEVEL for gains in drawn)
        some = drawn[: experiments // 10]
        shown = [_share(sum(d for d, _ in ended), experiments), _share(alone, experiments)]
        shown += [_share(fixed, experiments), _share(sum(map(peeking, some)), len(some))]
        print(" | ".join([name, *shown, f"{np.mean([n for _, n in ended]):.1f}"]), flush=True)


class Drawn:
    """Numbers in place of runs: a share of the seed, and noise of the seed and the setting."""

    def __init__(self, experiment: int) -> None:
        self.used: set[str] = set()
        self._experiment = experiment

    def values(self, jobs: Sequence[Job]) -> list[float]:
        """Return a loss for each job, which no setting changes on average."""
        return [self._loss(job) for job in jobs]

    def _loss(self, job: Job) -> float:
        shared = np.random.default_rng([self._experiment, job.seed]).normal()
        arm = int(float(job.settings["x"]))
        own = np.random.default_rng([self._experiment, job.seed, arm]).normal()
        return math.exp(0.1 * shared + 0.03 * own)


class Trained(Drawn):
    """A small network on scikit-learn's digits; the setting only draws other weights and orders."""

    def _loss(self, job: Job) -> float:
        shared = np.random.default_rng([self._experiment, job.seed])
        images, labels = digits()
        order = shared.permutation(len(images))
        arm = int(float(job.settings["x"]))
        own = np.random.default_rng([self._experiment, job.seed, arm])
        return validation_loss(images[order], labels[order], own)


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return 1,797 images ``[N, 64]``, 0 … 1, and their labels."""
    images, labels = load_digits(return_X_y=True)
    return images / 16, labels


def validation_loss(images: np.ndarray, labels: np.ndarray, draw: np.random.Generator) -> float:
    """Train 32 hidden units on 400 images, 6 epochs; return the loss on 400 others, in nats."""
    first, second = 0.1 * draw.normal(size=(64, 32)), 0.1 * draw.normal(size=(32, 10))
    targets = np.eye(10)[labels]
    for _ in range(6):
        for batch in np.array_split(draw.permutation(400), 25):
            hidden = np.maximum(images[batch] @ first, 0)
            error = (softmax(hidden @ second, axis=1) - targets[batch]) / len(batch)
            back = (error @ second.T) * (hidden > 0)
            second -= 0.5 * hidden.T @ error
            first -= 0.5 * images[batch].T @ back
    logits = np.maximum(images[400:800] @ first, 0) @ second
    return -float((log_softmax(logits, axis=1) * targets[400:800]).sum(axis=1).mean())


def whole(kind: type[Drawn], experiments: int, *, arms: int, what: str) -> None:
    """Print how often the whole loop of ``verify cmd=`` decides for remedies without effect."""
    template = Template(("{x}", "{seed}"), {"x": tuple(map(str, range(arms + 1)))})
    options = ForeignOptions("null", "", "loss", "min", "early", MOST_PAIRS)
    wrong, pairs = 0, []
    for experiment in range(experiments):
        trials = Trials(template, measure_of(options), options, kind(experiment))
        found = trials.judged_arms()
        wrong += any(arm.verdict != NOT_CONFIRMED for arm in found)
        pairs.append(len(trials.as_it_was))
    print(f"{what}: {_share(wrong, experiments)} of {experiments}, {np.mean(pairs):.1f} pairs")


def effects(experiments: int) -> None:
    """Print how often a true effect is found, and after how many pairs, for normal gains."""
    print(f"\na true effect (mean / spread of the pairs), {experiments} experiments each")
    heads = [f"found, fixed {n}" for n in FIXED_PAIRS]
    print(" | ".join(["effect", "found, early", "pairs, median", "pairs, mean", *heads]))
    for effect in EFFECTS:
        generator = np.random.default_rng(0)
        drawn = generator.normal(effect, 1, size=(experiments, MOST_PAIRS))
        ended = [early(gains) for gains in drawn]
        pairs = [n for _, n in ended]
        shown = [_share(sum(d for d, _ in ended), experiments), f"{np.median(pairs):.0f}"]
        shown.append(f"{np.mean(pairs):.1f}")
        for n in FIXED_PAIRS:
            found = sum(FIXED.p_value(gains[:n]) < 1 - LEVEL for gains in drawn)
            shown.append(_share(found, experiments))
        print(" | ".join([f"{effect:g}", *shown]), flush=True)


def _share(count: int, of: int) -> str:
    """Return a share with its Wilson interval, in percent."""
    found = stats.binomtest(int(count), of).proportion_ci(method="wilson")
    return f"{100 * count / of:.2f} % [{100 * found.low:.2f}, {100 * found.high:.2f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=10_000)
    asked = parser.parse_args()
    nulls(asked.experiments)
    effects(max(100, asked.experiments // 10))
    print()
    whole(Drawn, asked.experiments // 5, arms=4, what="four remedies without effect, any decided")
    whole(Trained, asked.experiments // 25, arms=1, what="a network on digits, only reseeded")
