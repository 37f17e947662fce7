"""How good verdicts are: by family and by fault, alarms, abstentions, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from cases import SHOWN_AS
from sklearn.metrics import f1_score

HEALTHY, OVER = "healthy", "fits_and_fails"


@dataclass(frozen=True)
class Told:
    """Probabilities against the truth. N logs, K classes, each a family with a fault.

    p: ``[N, K]``.  families, faults: ``[K]`` of the classes.  true_family, true_fault: ``[N]``.
    """

    p: np.ndarray
    families: np.ndarray
    faults: np.ndarray
    true_family: np.ndarray
    true_fault: np.ndarray

    @property
    def by_family(self) -> tuple[np.ndarray, np.ndarray]:
        """The families, and their probabilities ``[N, F]``."""
        return summed(self.p, self.families)

    def __post_init__(self) -> None:
        assert self.p.shape == (len(self.true_fault), len(self.faults))


def summed(p: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different names, and the sums ``[N, F]`` of the classes with each."""
    kinds = np.unique(names)
    return kinds, np.stack([p[:, names == kind].sum(1) for kind in kinds], 1)


def shown(faults: Sequence[str]) -> np.ndarray:
    """Faults as curves can show them."""
    return np.array([SHOWN_AS.get(fault, fault) for fault in faults])


def table(told: Told) -> str:
    """Return the figures, a line each."""
    families, p_family = told.by_family
    said_family = families[p_family.argmax(1)]
    within = np.where(told.families == said_family[:, None], told.p, 0.0)
    kinds, p_fault = summed(within, shown(told.faults))
    said, truth = kinds[p_fault.argmax(1)], shown(told.true_fault)
    true_family, sound = told.true_family, told.true_family == HEALTHY
    lines = {
        "family macro-F1": f1_score(true_family, said_family, average="macro"),
        "fault macro-F1": f1_score(truth, said, average="macro"),
        "overfitting or not": f1_score(true_family == OVER, said_family == OVER, average="macro"),
        "healthy runs alarmed": float(np.mean(said_family[sound] != HEALTHY)),
        "calibration error, family": calibration_error(p_family.max(1), said_family == true_family),
    }
    text = [f"  {name:26} {value:.3f}" for name, value in lines.items()]
    for names, answers in ((truth, said), (true_family, said_family)):
        labels = sorted(set(names))
        each = f1_score(names, answers, average=None, labels=labels)
        text += [f"  F1 {name:23} {value:.3f}" for name, value in zip(labels, each, strict=True)]
    return "\n".join(text)


def calibration_error(confidence: np.ndarray, right: np.ndarray, *, bins: int = 10) -> float:
    """Expected calibration error: the mean gap of confidence and share of right, by bins.

    Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == b].mean() - right[place == b].mean()) * (place == b).mean()
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))


# What the limits have to keep, as shares of the healthy runs and of all.
MOST_ALARMED, LEAST_CALLED, MOST_OPEN = 0.05, 0.85, 0.10
TRIED_HEALTHY = (0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
TRIED_SICK = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
TINY = 1e-12


def said(told: Told, limits: Mapping[str, float]) -> np.ndarray:
    """What `pipeline.diagnosis.learned.verdict.family_said` says, ``[N]``; open is empty."""
    families, q = told.by_family
    least = np.array([limits[family] for family in families])
    sound = list(families).index(HEALTHY)
    sick = np.where(families == HEALTHY, -1.0, q).argmax(1)
    calm = np.where(q[:, sound] >= least[sound], HEALTHY, "")
    likeliest = q[np.arange(len(q)), sick]
    against = likeliest / np.maximum(likeliest + q[:, sound], TINY)
    return np.where(against >= least[sick], families[sick], calm)


@dataclass(frozen=True)
class Decided:
    """How good a rule is. alarmed, called_healthy: shares of the healthy runs."""

    f1: float
    alarmed: float
    called_healthy: float
    left_open: float

    @property
    def excess(self) -> float:
        """How far it misses what limits have to keep, summed; 0 where it keeps all."""
        return (
            max(self.alarmed - MOST_ALARMED, 0.0)
            + max(LEAST_CALLED - self.called_healthy, 0.0)
            + max(self.left_open - MOST_OPEN, 0.0)
        )

    @property
    def in_words(self) -> str:
        return (
            f"family F1 {self.f1:.3f}, healthy runs alarmed {self.alarmed:.3f}, called healthy "
            f"{self.called_healthy:.3f}, open {self.left_open:.3f}"
        )


def decided(told: Told, limits: Mapping[str, float]) -> Decided:
    """Judge what is said with these limits; open counts as a miss."""
    names, truth = np.unique([*told.by_family[0], ""]), told.true_family
    place = len(names) * np.searchsorted(names, truth) + np.searchsorted(names, said(told, limits))
    counts = np.bincount(place, minlength=len(names) ** 2).reshape(len(names), -1)
    hits, total = np.diag(counts)[1:], counts.sum(1)[1:] + counts.sum(0)[1:]
    sound = counts[list(names).index(HEALTHY)]
    called = sound[list(names).index(HEALTHY)] / sound.sum()
    return Decided(
        f1=float(np.mean(2 * hits / np.maximum(total, 1))),
        alarmed=float(1 - called - sound[0] / sound.sum()),
        called_healthy=float(called),
        left_open=float(counts[:, 0].sum() / counts.sum()),
    )


def best_limits(told: Told) -> dict[str, float]:
    """The least probabilities with the highest F1 of those without `Decided.excess`.

    All of them are tried, which is quick: a log's likeliest fault depends on no limit, so the
    counts of the families add up. Where none keeps all, those that miss by least.
    """
    families, q = told.by_family
    sound = list(families).index(HEALTHY)
    others = [k for k in range(len(families)) if k != sound]
    sick = np.where(families == HEALTHY, -1.0, q).argmax(1)
    likeliest = q[np.arange(len(q)), sick]
    against = likeliest / np.maximum(likeliest + q[:, sound], TINY)
    named = against[:, None] >= np.array(TRIED_SICK)  # [N, T]
    calm = q[:, sound, None] >= np.array(TRIED_HEALTHY)  # [N, H]
    truly = told.true_family[:, None] == families  # [N, F]

    def counts(of: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the logs of a group: named ``[T]``; called healthy and left open ``[H, T]``."""
        at = of & (sick == k)
        quiet = ~named[at]
        return named[at].sum(0), calm[at].T.astype(int) @ quiet, (~calm[at]).T.astype(int) @ quiet

    def over_all(parts: Sequence[np.ndarray]) -> np.ndarray:
        """The sum for every choice of limits, ``[H, T, T, …]``; each part has an axis T."""
        shaped = [
            part.reshape(-1, *(len(TRIED_SICK) if i == j else 1 for j in range(len(parts))))
            for i, part in enumerate(parts)
        ]
        return np.asarray(sum(shaped[1:], shaped[0]))

    everyone, well = np.ones(len(q), bool), truly[:, sound]
    of_all = [counts(everyone, k) for k in others]
    of_well = [counts(well, k) for k in others]
    called = over_all([c[1] for c in of_well])
    f1 = 2 * called / np.maximum(over_all([c[1] for c in of_all]) + well.sum(), 1)
    for k in others:
        hits = over_all([counts(truly[:, k], j)[0] * (j == k) for j in others])
        told_so = over_all([c[0] * (j == k) for c, j in zip(of_all, others, strict=True)])
        either = told_so + truly[:, k].sum()
        f1 = f1 + 2 * hits / np.maximum(either, 1)
        if families[k] == OVER:
            neither = len(q) + hits - either
            over = hits / np.maximum(either, 1) + neither / np.maximum(2 * len(q) - either, 1)
    value = f1 / len(families) + over
    excess = (
        np.maximum(over_all([c[0] for c in of_well]) / well.sum() - MOST_ALARMED, 0)
        + np.maximum(LEAST_CALLED - called / well.sum(), 0)
        + np.maximum(over_all([c[2] for c in of_all]) / len(q) - MOST_OPEN, 0)
    ).round(4)
    value = np.where(excess <= excess.min(), value, -1.0)
    first, *places = np.unravel_index(int(value.argmax()), value.shape)
    limits = {str(families[k]): TRIED_SICK[at] for k, at in zip(others, places, strict=True)}
    return {**limits, HEALTHY: TRIED_HEALTHY[first]}


def by_group(told: Told, limits: Mapping[str, float], groups: np.ndarray) -> str:
    """The share of healthy runs alarmed in the groups with ten of them at least."""
    sound, words = told.true_family == HEALTHY, said(told, limits)
    alarmed = sound & (words != HEALTHY) & (words != "")
    shares = {
        str(group): float(alarmed[groups == group].sum() / sound[groups == group].sum())
        for group in np.unique(groups)
        if sound[groups == group].sum() >= 10
    }
    worst = sorted(shares.items(), key=lambda pair: -pair[1])[:6]
    text = ", ".join(f"{group} {share:.2f}" for group, share in worst)
    calm = sum(share <= MOST_ALARMED for share in shares.values())
    return f"{calm} of {len(shares)} groups alarm {MOST_ALARMED:.0%} at most; the worst: {text}"
