"""Arms, patients and verifications with losses that are written down: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.paired_trials import Arm, judge, relative_reduction
from pipeline.diagnosis.proof import Claim, Verification
from pipeline.records import Estimate
from pipeline.verification.judgement import concluded
from pipeline.verification.patient import Patient
from pipeline.verification.plan import VerificationOptions
from planted_history import FAULTS, history

ROOT = Path(__file__).parents[1]
STORAGE = "sqlite:///optuna.db"
NOTHING = relative_reduction(np.zeros(5))

# Validation losses of five seeds, in nats.
AS_IT_WAS = (0.40, 0.50, 0.45, 0.55, 0.42)
MUCH_LOWER = (0.30, 0.39, 0.34, 0.42, 0.31)
SLIGHTLY_LOWER = (0.38, 0.50, 0.42, 0.55, 0.41)
AS_BEFORE = (0.39, 0.52, 0.43, 0.56, 0.42)
HIGHER = (0.50, 0.63, 0.56, 0.70, 0.52)
# Logarithms of five paired ratios whose t interval holds 0.
UNSURE_GAINS = np.array([0.10, -0.05, 0.12, 0.02, 0.06])


def arm(name: str, losses: tuple[float, ...], verdict: str = "healthy") -> Arm:
    return Arm(name, (f"{name}=on",), losses, (verdict,) * len(losses))


BASE = arm("as_it_was", AS_IT_WAS, "overfitting")


def claim(reduction: Estimate, arm_name: str = "dropout") -> Claim:
    """A claim in which neither control changes the test loss."""
    return Claim(arm=arm_name, remedy=reduction, reseed=NOTHING, random=NOTHING)


def verification(*arms: Arm, claimed: Claim | None = None, **changed: Any) -> Verification:
    """What `verify` would return if the runs had these losses."""
    values: dict[str, Any] = {
        "name": "mlp",
        "symptom": "overfitting",
        "sentence": "",
        "seeds": 5,
        "undecided": None,
        "arms": tuple(judge(BASE, arms, symptom=changed.get("symptom", "overfitting"))),
        "reseed": NOTHING,
        "random": NOTHING,
        "claim": claimed,
        "experiment": None,
        "studies": {"arms": "verify_mlp_arms_0123abcd"},
    }
    return concluded(Verification(**(values | changed)))


def patient(verdict: str = "overfitting", *overrides: str) -> Patient:
    """A run with half of the data and a planted fault."""
    given = ("data.fraction=0.5", *overrides)
    _, values = compose(given, root=ROOT)
    found = diagnose(history(**FAULTS.get(verdict, {}), settings=values))
    return Patient("mlp", given, values, found)


def options(*, seeds: int = 5, **given: Any) -> VerificationOptions:
    return VerificationOptions(storage=STORAGE, seeds=seeds, **given)
