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

from pipeline.diagnosis.paired_trials import LEAST_SEEDS, LEVEL, NOT_CONFIRMED, Arm
from pipeline.diagnosis.record import Remedy
from pipeline.verification.anytime import MOST_PAIRS, is_futile, log_e_values, log_threshold
from pipeline.verification.early import MOST_SEEDS, EarlyTrials
from pipeline.verification.foreign.judgement import measure_of
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.foreign.runs import Job
from pipeline.verification.foreign.template import Template
from pipeline.verification.foreign.trials import Trials
from pipeline.verification.parts import AS_IT_WAS
from pipeline.verification.plan import VerificationPlan

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
    decides = log_e_values(gains) >= log_threshold(LEVEL)
    for n in range(LEAST_SEEDS, len(gains) + 1):
        if decides[n - 1]:
            return True, n
        if stop_if_futile and is_futile(gains[:n], level=LEVEL, most=len(gains)):
            return False, n
    return False, len(gains)


def p_values(gains: np.ndarray) -> np.ndarray:
    """Return the p-values of t tests ``[N]`` for experiments ``[N, n]``."""
    return np.asarray(stats.ttest_1samp(gains, 0.0, axis=1).pvalue)


def nulls(experiments: int) -> None:
    """Print the share of experiments without any effect that end in a decision."""
    print(f"no effect, {experiments} experiments each, {MOST_PAIRS} pairs at most, level {LEVEL}")
    print("gains | early | without futility | fixed, 5 pairs | t test at each pair | pairs (early)")
    for name, draw in NULLS.items():
        generator = np.random.default_rng(0)
        drawn = np.array([draw(generator, MOST_PAIRS) for _ in range(experiments)])
        logs = log_e_values(drawn)[:, LEAST_SEEDS - 1 :]
        alone = (logs >= log_threshold(LEVEL)).any(axis=1)
        # Futility only ends experiments, so those that never decide need no look at it.
        found = sum(early(gains)[0] for gains in drawn[alone])
        peeks = [p_values(drawn[:, :n]) < 1 - LEVEL for n in range(LEAST_SEEDS, MOST_PAIRS + 1)]
        counts = [found, alone.sum(), peeks[5 - LEAST_SEEDS].sum(), np.any(peeks, axis=0).sum()]
        pairs = np.mean([early(gains)[1] for gains in drawn[:500]])
        shown = [_share(count, experiments) for count in counts]
        print(" | ".join([name, *shown, f"{pairs:.1f}"]), flush=True)


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


class DrawnArms:
    """Losses in place of trainings, for the loop of ``verify name= stop=early``."""

    def __init__(self, experiment: int) -> None:
        self._drawn = Drawn(experiment)

    def train(self, part: str, arms: Sequence[Remedy], seeds: Sequence[int]) -> list[Arm]:
        """Return a loss for each arm and seed, which no arm changes on average."""
        return [self._arm(arm.name, seeds) for arm in arms]

    def _arm(self, name: str, seeds: Sequence[int]) -> Arm:
        place = "0" if name == AS_IT_WAS.name else name
        losses = self._drawn.values([Job("", {"x": place}, seed) for seed in seeds])
        return Arm(name, (), tuple(losses), ("sick",) * len(losses))


def own_runs(experiments: int, *, remedies: int) -> None:
    """Print how often ``verify name= stop=early`` decides for remedies without effect."""
    tried = tuple(Remedy(str(i + 1), (), "") for i in range(remedies))
    seeds = tuple(range(MOST_SEEDS))
    wrong, runs = 0, []
    for experiment in range(experiments):
        loop = EarlyTrials(DrawnArms(experiment), VerificationPlan(tried, (), seeds, seeds), "sick")
        wrong += any(found.verdict != NOT_CONFIRMED for found in loop.decide())
        runs.append(loop.num_runs)
    print(
        f"verify name=, {remedies} remedies without effect, any decided: "
        f"{_share(wrong, experiments)} of {experiments}, {np.mean(runs):.1f} runs"
    )


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
            shown.append(_share((p_values(drawn[:, :n]) < 1 - LEVEL).sum(), experiments))
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
    own_runs(asked.experiments // 5, remedies=4)
    whole(Trained, asked.experiments // 25, arms=1, what="a network on digits, only reseeded")
