"""Does a remedy work? Paired runs over seeds, judged with correction for how many were tried.

Everything here is arithmetic on losses; whoever trains the runs calls it.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from pipeline.diagnosis.remedies import Remedy, Settings, far_from_usual
from pipeline.diagnosis.verdict import HEALTHY, UNDETERMINED
from pipeline.records import Estimate

CONFIRMED, NOT_CONFIRMED, HARMFUL = "confirmed", "not confirmed", "harmful"
DIVERGED = "diverged"  # in the place of a verdict: the run has left no model
LEAST_SEEDS = 3
LEVEL = 0.95
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Arm:
    """One configuration, trained with every seed.

    losses: ``[n]`` validation losses in nats, in the order of the seeds; of a run that diverged, guessing.
    verdicts: of each run's diagnosis, or `DIVERGED`.
    """

    name: str
    overrides: tuple[str, ...]
    losses: tuple[float, ...]
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """What the paired runs say about one arm.

    improvement: share by which the loss falls against the base, with an interval that is corrected for
    the number of arms; negative where it rises.  p_value: two-sided, adjusted (Holm).
    symptom: share of the runs in which the base's verdict is still given, or that diverged.  new_symptoms: other verdicts
    that more than half of the runs got.  seeds_needed: about how many would decide it; None where decided.
    """

    arm: Arm
    verdict: str
    improvement: Estimate
    p_value: float
    symptom: float
    new_symptoms: tuple[str, ...]
    seeds_needed: int | None


def judge(base: Arm, arms: Sequence[Arm], *, symptom: str) -> list[Judged]:
    """Judge each arm against the base, seed by seed; the most helpful first.

    The difference of the logarithms of paired losses is tested with Student's t; p-values are adjusted
    by Holm's method, intervals by Bonferroni's. Confirmed: the loss falls beyond noise, and no symptom
    appears that the base did not have; where most of the base's runs diverged none is new, since any model
    is more than none. Harmful: it rises beyond noise.
    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    gains = [log_gains(base.losses, arm.losses) for arm in arms]
    raw = [_p_value(g) for g in gains]
    adjusted = holm(raw)
    known = _common(base.verdicts)
    found = []
    for arm, gain, p in zip(arms, gains, adjusted, strict=True):
        told = () if DIVERGED in known else _common(arm.verdicts)
        new = tuple(v for v in told if v not in (*known, symptom, HEALTHY, UNDETERMINED))
        mean = float(gain.mean())
        decided = p < 1 - LEVEL
        verdict = NOT_CONFIRMED
        if decided and mean < 0:
            verdict = HARMFUL
        elif decided and not new:
            verdict = CONFIRMED
        found.append(
            Judged(
                arm=arm,
                verdict=verdict,
                improvement=relative(gain, comparisons=len(arms)),
                p_value=p,
                symptom=sum(v in (symptom, DIVERGED) for v in arm.verdicts) / len(arm.verdicts),
                new_symptoms=new,
                seeds_needed=None if decided else seeds_needed(gain, comparisons=len(arms)),
            )
        )
    return sorted(found, key=lambda j: -j.improvement.value)


def log_gains(base: Sequence[float], losses: Sequence[float]) -> np.ndarray:
    """``log(base / loss)`` for each pair ``[n]``: positive where the loss is lower."""
    floor = 1e-12
    return np.log(np.maximum(base, floor)) - np.log(np.maximum(losses, floor))


def relative(gains: np.ndarray, *, comparisons: int = 1) -> Estimate:
    """Mean share by which the loss falls, with its t interval at ``1 - 0.05 / comparisons``."""
    n, mean = len(gains), float(gains.mean())
    level = 1 - (1 - LEVEL) / comparisons
    reach = float(stats.t.ppf(0.5 + level / 2, n - 1)) * float(gains.std(ddof=1)) / math.sqrt(n)
    low, value, high = (1 - math.exp(-x) for x in (mean - reach, mean, mean + reach))
    return Estimate(value=value, low=low, high=high, n=n, level=level)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def seeds_needed(gains: np.ndarray, *, comparisons: int = 1) -> int | None:
    """The least number of seeds with which a mean and spread like these would be decided.

    None where even a thousand would not be enough: the effect is next to nothing.
    """
    return seeds_to_decide(relative(gains, comparisons=comparisons))


def seeds_to_decide(found: Estimate) -> int | None:
    """As `seeds_needed`, for an estimate by `relative`: its interval tells the spread that was seen."""
    mean, reach = abs(math.log1p(-found.value)), (math.log1p(-found.low) - math.log1p(-found.high)) / 2
    tail = 0.5 + found.level / 2
    spread = reach * math.sqrt(found.n) / float(stats.t.ppf(tail, found.n - 1))
    for n in range(max(found.n + 1, LEAST_SEEDS), MOST_SEEDS + 1):
        if float(stats.t.ppf(tail, n - 1)) * spread / math.sqrt(n) < mean:
            return n
    return None


def nearest_to_decision(judged: Sequence[Judged]) -> Judged | None:
    """Of the arms that seem to help and are not decided, the one that needs the fewest seeds; None without one."""
    near = [j for j in judged if j.seeds_needed is not None and j.improvement.value > 0]
    return min(near, key=lambda j: j.seeds_needed or 0, default=None)


def _p_value(gains: np.ndarray) -> float:
    spread = float(gains.std(ddof=1))
    if spread == 0:
        return 1.0 if gains.mean() == 0 else 0.0
    t = float(gains.mean()) / (spread / math.sqrt(len(gains)))
    return float(2 * stats.t.sf(abs(t), len(gains) - 1))


def _common(verdicts: Sequence[str]) -> list[str]:
    """Verdicts of more than half of the runs."""
    return [v for v, count in Counter(verdicts).items() if count > len(verdicts) / 2]


# --- planning ---------------------------------------------------------------------------------------


def cost(arms: int, seeds: int) -> int:
    """How many runs a verification trains: base, arms, reseed, random draws, and the best of these over seeds."""
    return (arms + 3) * seeds + num_draws(arms, seeds)


def num_draws(arms: int, seeds: int) -> int:
    """So many that random search, with the paired runs of its best, costs what the arms do."""
    return max(2, (arms - 1) * seeds)


def combinations(offered: Sequence[Remedy]) -> list[Remedy]:
    """The first remedy with each of the next two, where they set different things."""
    found = []
    for other in offered[1:3]:
        first = offered[0]
        keys = [{o.partition("=")[0].split(".")[0] for o in r.overrides} for r in (first, other)]
        if not keys[0] & keys[1]:
            name = f"{first.name}+{other.name}"
            found.append(Remedy(name, (*first.overrides, *other.overrides), "both together"))
    return found[:1]


def random_arms(settings: Settings, *, count: int, seed: int) -> list[Remedy]:
    """Random settings of what remedies set: learning rate, dropout, L2, augmentation, label smoothing.

    The control: whatever gains as much as these was found by trying, not by a diagnosis.
    """
    draw = random.Random(seed)
    return [Remedy(f"random_{i}", _random(settings, draw), "drawn at random") for i in range(count)]


def _random(settings: Settings, draw: random.Random) -> tuple[str, ...]:
    # Around the rate from which the remedies start too.
    start = far_from_usual(settings) or settings["optimizer"]["learning_rate"]
    rate = start * 10 ** draw.uniform(-1, 1)
    chosen = [f"optimizer.learning_rate={rate:.3g}", f"penalty.l2={10 ** draw.uniform(-6, -3):.3g}"]
    if settings["model"]["name"] in ("mlp", "cnn") or settings["model"].get("depth", 1) > 1:
        chosen.append(f"model.dropout={draw.uniform(0, 0.6):.2f}")
    chosen.append(f"augment={draw.choice(('none', 'affine', 'shift'))}")
    if settings["loss"]["name"] in ("cross_entropy", "label_smoothing"):
        chosen.append(f"loss={draw.choice(('cross_entropy', 'label_smoothing'))}")
    return tuple(chosen)


def as_json(found: Judged) -> dict[str, Any]:
    """One judged arm as plain values."""
    return {
        "name": found.arm.name,
        "overrides": list(found.arm.overrides),
        "verdict": found.verdict,
        "improvement": asdict(found.improvement),
        "p_value": found.p_value,
        "symptom_share": found.symptom,
        "new_symptoms": list(found.new_symptoms),
        "seeds_needed": found.seeds_needed,
        "val_losses": list(found.arm.losses),
        "verdicts": list(found.arm.verdicts),
    }
