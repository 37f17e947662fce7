"""How good verdicts are: by family and by fault, alarms, abstentions, calibration."""

from __future__ import annotations

from collections.abc import Sequence
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


def decisions(told: Told) -> str:
    """Return what happens where a sick family must be so much likelier than health to be said."""
    families, q = told.by_family
    sound, healthy = told.true_family == HEALTHY, list(families).index(HEALTHY)
    lines = ["  least P(family), P(healthy) that calls healthy: F1, alarmed, called healthy, open"]
    for least in (0.4, 0.5, 0.6, 0.7):
        for calls in (0.5, 0.4, 0.3, 0.2, 0.1):
            said = families[q.argmax(1)].astype(object)
            said[q[:, healthy] >= calls] = HEALTHY
            said[(said != HEALTHY) & (q.max(1) < least)] = "open"
            f1 = f1_score(told.true_family, said.astype(str), average="macro", labels=families)
            alarmed = np.mean((said[sound] != HEALTHY) & (said[sound] != "open"))
            called, opened = np.mean(said[sound] == HEALTHY), np.mean(said == "open")
            lines.append(f"  {least} {calls}: {f1:.3f} {alarmed:.3f} {called:.3f} {opened:.3f}")
    return "\n".join(lines)
