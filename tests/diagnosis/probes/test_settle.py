"""How the evidence of probes changes a diagnosis by curves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.diagnosis.measured import Measured
from pipeline.diagnosis.probes import settle
from pipeline.diagnosis.probes.evidence import evidence
from pipeline.diagnosis.record import ProbeEvidence
from planted_history import EPOCHS, FAULTS, history


def sure(verdict: str, points: Any) -> ProbeEvidence:
    """Evidence of the highest odds."""
    return evidence(verdict, points, [Measured(99.0).condition("above", 0.0, grey=1.0)])


def settled_by(found: Diagnosis, *listed: ProbeEvidence) -> Diagnosis:
    return settle(found, listed, settings={})


OPEN = 0.25 * np.append(np.ones(EPOCHS - 1), 1.05)  # a rise on its limit, see test_diagnosis.py


@pytest.mark.parametrize(("points", "verdict"), [("for", "overfitting"), ("against", "healthy")])
def test_a_probe_settles_what_the_curves_leave_open(points: str, verdict: str) -> None:
    found = diagnose(history(train=np.full(EPOCHS, 0.08), val=OPEN, train_wrong=0.02))
    assert found.verdict == "undetermined"
    settled = settled_by(found, sure("overfitting", points))
    assert settled.verdict == verdict and settled.probes is not None
    assert settled.probes.verdict_by_curves == "undetermined"
    before = found.undecided[0].probability
    wanted = 9 * before / (8 * before + 1) if points == "for" else before / (9 - 8 * before)
    assert settled.probes.changes[0].after == pytest.approx(wanted)


@pytest.mark.parametrize("verdict", FAULTS)
def test_a_probe_overturns_no_clear_verdict(verdict: str) -> None:
    found = diagnose(history(**FAULTS[verdict]))
    against = [sure(f.verdict, "against") for f in found.findings if f.probability > 0.94]
    if against:
        assert settled_by(found, *against).verdict == verdict


def test_a_probe_makes_no_clearly_healthy_run_sick() -> None:
    found = diagnose(history())
    every = [sure(f.verdict, "for") for f in found.ruled_out if f.probability < 0.14]
    assert every and settled_by(found, *every).verdict == "healthy"


def test_a_rule_that_could_not_run_is_judged_by_the_probe_alone() -> None:
    short = history(
        train=np.array([0.5, 0.49, 0.489]), val=np.array([0.52, 0.515, 0.514]), signals=False
    )
    found = diagnose(short)
    assert found.verdict == "undetermined" and "underfitting" in [n.verdict for n in found.not_run]
    settled = settled_by(found, sure("underfitting", "for"))
    assert settled.verdict == "underfitting" and settled.probes is not None
    assert settled.probes.changes[0].before is None
    assert settled.probes.changes[0].after == pytest.approx(0.9)
    assert "underfitting" not in [n.verdict for n in settled.not_run]


def test_without_evidence_nothing_changes() -> None:
    found = diagnose(history(**FAULTS["overfitting"]))
    assert replace(settled_by(found), probes=None) == found
