"""A trial with several seeds: its value is their mean, and a clearly poor one stops early.

Each seed that ended is an attribute of the trial at once, so a trial whose worker was killed goes
on with the seeds that are left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from omegaconf import OmegaConf

from pipeline.errors import SweepError
from pipeline.sweep.seed_groups import SEED
from pipeline.sweep.trial import METRICS, OBJECTIVE, SEEDS, VERDICT

PREFIX = "seed:"  # of the attribute that holds one ended seed of a trial
LEAST_TRIALS = 5  # that completed, before a trial can be called poor
CLEARLY = 3.0  # standard errors


@dataclass(frozen=True)
class SeedResult:
    """How a trial ended with one seed.

    values: one for each objective.  notes: what the task noted, by the names of `trial`.
    """

    seed: int
    values: tuple[float, ...]
    notes: Mapping[str, Any]
    seconds: float

    @property
    def attribute(self) -> tuple[str, dict[str, Any]]:
        """The name and the JSON value under which the trial keeps it."""
        content = {"values": list(self.values), "notes": dict(self.notes), "seconds": self.seconds}
        return f"{PREFIX}{self.seed}", content


@dataclass(frozen=True)
class OverSeeds:
    """The first objective of a trial over its seeds."""

    seeds: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.values)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds (n - 1); None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def in_words(self) -> str:
        """The mean with its spread: ``0.1234 ± 0.0056 over 3 seeds``."""
        if self.spread is None:
            return f"{self.mean:.6g} with one seed"
        return f"{self.mean:.6g} ± {self.spread:.2g} over {len(self.seeds)} seeds"

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed → value."""
        return dict(zip(self.seeds, self.values, strict=True))


def first_seed(config: Any) -> int:
    """Return the seed of a composed configuration. Raises `SweepError` where it has none."""
    seed = OmegaConf.select(config, SEED)
    if isinstance(seed, bool) or not isinstance(seed, int):
        found = "missing" if seed is None else f"{seed!r}"
        raise SweepError(
            f"seeds_per_trial: needs a whole number under {SEED} in the configuration, which is "
            f"{found}. Give the application such a setting, or leave seeds_per_trial out."
        )
    return seed


def ended_seeds(attributes: Mapping[str, Any]) -> dict[int, SeedResult]:
    """Return the seeds of a trial that ended. attributes: of the trial."""
    found = {}
    for key, each in attributes.items():
        if key.startswith(PREFIX):
            seed = int(key.removeprefix(PREFIX))
            found[seed] = SeedResult(seed, tuple(each["values"]), each["notes"], each["seconds"])
    return dict(sorted(found.items()))


def over_seeds(attributes: Mapping[str, Any]) -> OverSeeds | None:
    """Return the summary of a trial's seeds; None for a trial that had no seeds of its own."""
    kept = attributes.get(SEEDS)
    return OverSeeds(tuple(kept["seeds"]), tuple(kept["values"])) if kept else None


def summarized(ended: Sequence[SeedResult]) -> dict[str, Any]:
    """Return the attributes of a trial that sum up its seeds.

    Metrics are means over the seeds that have them, the verdict is the most frequent one.
    """
    notes = [each.notes for each in ended]
    first = OverSeeds(tuple(e.seed for e in ended), tuple(e.values[0] for e in ended))
    attributes: dict[str, Any] = {
        SEEDS: {
            "seeds": list(first.seeds),
            "values": list(first.values),
            "standard_deviation": first.spread,
        }
    }
    if means := metrics_over(ended, fmean):
        attributes[METRICS] = means
    if objective := next((n[OBJECTIVE] for n in notes if OBJECTIVE in n), None):
        attributes[OBJECTIVE] = objective
    if verdicts := Counter(n[VERDICT] for n in notes if VERDICT in n):
        attributes[VERDICT] = verdicts.most_common(1)[0][0]
    return attributes


def metrics_over(ended: Sequence[SeedResult], number: Any) -> dict[str, float]:
    """Return a statistic of every metric that all seeds have. number: takes the values."""
    metrics = [each.notes.get(METRICS, {}) for each in ended]
    names = [n for n in (metrics[0] if metrics else {}) if all(n in each for each in metrics)]
    return {name: number([each[name] for each in metrics]) for name in names}


def is_poor(own: Mapping[int, float], others: Sequence[OverSeeds], *, direction: str) -> bool:
    """Whether a trial is clearly worse than its peers, over equal seeds.

    own: seed → value of the seeds so far.  others: completed trials.  direction: of the study.

    A trial is poor where its mean is worse than the median of its peers' means, and worse than that
    of the best peer by more than `CLEARLY` standard errors. The noise of a seed is the pooled
    spread of the better half of the peers. Fewer than `LEAST_TRIALS` peers call nothing poor.
    """
    peers = [each for each in others if set(own) <= set(each.seeds) and each.spread is not None]
    if len(peers) < LEAST_TRIALS or not own:
        return False
    sign = 1.0 if direction == "minimize" else -1.0
    ranked = sorted(peers, key=lambda each: sign * each.mean)
    same = [sign * fmean(each.by_seed[seed] for seed in own) for each in ranked]
    mean = sign * fmean(own.values())
    better = ranked[: (len(ranked) + 1) // 2]
    noise = fmean((each.spread or 0.0) ** 2 for each in better) ** 0.5
    clearly = CLEARLY * noise * (2 / len(own)) ** 0.5
    return mean > median(same) and mean - same[0] > clearly
