"""How good verdicts are: by family and by fault, alarms, abstentions, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

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

    def at(self, rows: np.ndarray) -> Told:
        """Some of the logs."""
        truth = self.true_family[rows], self.true_fault[rows]
        return Told(self.p[rows], self.families, self.faults, *truth)

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
    """How good a rule is. alarmed, called_healthy: shares of the healthy runs.

    f1: of the family.  overfitting: macro-F1 of fits_and_fails or not.
    """

    f1: float
    overfitting: float
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
    def value(self) -> tuple[float, float]:
        """By which rules are compared: the larger, the better."""
        return -round(self.excess, 4), self.f1 + self.overfitting

    @property
    def in_words(self) -> str:
        return (
            f"family F1 {self.f1:.3f}, overfitting or not {self.overfitting:.3f}, healthy runs "
            f"alarmed {self.alarmed:.3f}, called healthy {self.called_healthy:.3f}, open "
            f"{self.left_open:.3f}"
        )


def decided(told: Told, limits: Mapping[str, float]) -> Decided:
    """Judge what is said with these limits; open counts as a miss."""
    return of_words(told, said(told, limits))


def of_words(told: Told, words: np.ndarray) -> Decided:
    """Judge what was said, ``[N]`` as by `said`."""
    families = told.by_family[0]
    place = np.where(words == "", len(families), np.searchsorted(families, words))
    return _decided(families, np.searchsorted(families, told.true_family), place)


def _decided(families: np.ndarray, truth: np.ndarray, words: np.ndarray) -> Decided:
    """truth, words: ``[N]``, places of families; a word that is open has the place after them."""
    size, sound = len(families), int(np.searchsorted(families, HEALTHY))
    counts = np.bincount((size + 1) * truth + words, minlength=size * (size + 1))
    counts = counts.reshape(size, size + 1)
    hits, total = np.diag(counts), counts.sum(1) + counts[:, :-1].sum(0)
    each = 2 * hits / np.maximum(total, 1)
    over, neither = int(np.searchsorted(families, OVER)), 2 * len(truth)
    others = (neither - 2 * total[over] + 2 * hits[over]) / max(neither - total[over], 1)
    row = counts[sound] / max(counts[sound].sum(), 1)
    return Decided(
        f1=float(each.mean()),
        overfitting=float(each[over] + others) / 2,
        alarmed=float(1 - row[sound] - row[-1]),
        called_healthy=float(row[sound]),
        left_open=float(counts[:, -1].sum() / len(truth)),
    )


def best_limits(told: Told) -> dict[str, float]:
    """The least probabilities with the best `Decided.value`; all of them are tried."""
    families, q = told.by_family
    truth, sound = np.searchsorted(families, told.true_family), list(families).index(HEALTHY)
    sick = np.where(families == HEALTHY, -1.0, q).argmax(1)
    likeliest = q[np.arange(len(q)), sick]
    against = likeliest / np.maximum(likeliest + q[:, sound], TINY)

    def value(least: tuple[float, ...]) -> tuple[float, float]:
        calm = np.where(q[:, sound] >= least[sound], sound, len(families))
        words = np.where(against >= np.array(least)[sick], sick, calm)
        return _decided(families, truth, words).value

    tried = product(*(TRIED_HEALTHY if name == HEALTHY else TRIED_SICK for name in families))
    return dict(zip(map(str, families), max(tried, key=value), strict=True))


def by_part(told: Told, parts: np.ndarray) -> str:
    """Return how good limits from all other parts are on each part, and on all, a line each."""
    words, lines = np.full(len(parts), "", "U32"), []
    for part in np.unique(parts):
        out = parts == part
        words[out] = said(told.at(out), best_limits(told.at(~out)))
        lines.append(f"  {part:8} {of_words(told.at(out), words[out]).in_words}")
    return "\n".join([*lines, f"  all      {of_words(told, words).in_words}"])


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
