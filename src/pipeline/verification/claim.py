"""The claim of a verification: one look at the untouched test set, which is never repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import RootModel

from pipeline.data.store import load_split
from pipeline.diagnosis.paired_trials import counted_loss, log_gains, relative_reduction
from pipeline.diagnosis.proof import Claim, Reductions
from pipeline.evaluation.scores import log_softmax
from pipeline.files import read_record, write_record
from pipeline.verification.parts import ARMS, AS_IT_WAS, RANDOM, RESEED
from pipeline.verification.plan import VerificationPlan
from pipeline.verification.trials import Trials


class Claims(RootModel[dict[str, Reductions]]):
    """The file ``claims.json``: hash of the trials, the arm and the data → what was measured."""


def claim_of(trials: Trials, plan: VerificationPlan, *, arm: str, random_arm: str) -> Claim:
    """Measure an arm and the controls on the test set, or return an earlier measurement.

    A claim is kept in ``results/<name>/claims.json`` as soon as it is made. So a repeated command
    does not read the test set again, not even after a kill or another claim.
    """
    path = trials.root / "results" / trials.patient.name / "claims.json"
    key = _key(trials, arm)
    claims = _read(path, trials.patient.name)
    if key not in claims:
        claims[key] = _measured(trials, plan, arm=arm, random_arm=random_arm)
        write_record(path, Claims(claims))
    made = claims[key]
    return Claim(arm=arm, remedy=made.remedy, reseed=made.reseed, random=made.random)


def _read(path: Path, name: str) -> dict[str, Reductions]:
    if not path.is_file():
        return {}
    way_out = f"Restore it from a copy: without it, verify name={name} reads the test set again."
    return dict(read_record(path, Claims, way_out=way_out).root)


def _key(trials: Trials, arm: str) -> str:
    content = json.dumps([trials.asked, arm, dict(trials.card.sha256)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _measured(trials: Trials, plan: VerificationPlan, *, arm: str, random_arm: str) -> Reductions:
    test = load_split(trials.root / "data" / "processed" / trials.card.name, "test")

    def losses(part: str, name: str, of: Sequence[int]) -> list[float]:
        return [_test_loss(trials, trials.used.folder(part, name, seed), test) for seed in of]

    base = losses(ARMS, AS_IT_WAS.name, plan.seeds)
    return Reductions(
        remedy=relative_reduction(log_gains(base, losses(ARMS, arm, plan.seeds))),
        reseed=relative_reduction(log_gains(base, losses(RESEED, AS_IT_WAS.name, plan.reseeds))),
        random=relative_reduction(log_gains(base, losses(RANDOM, random_arm, plan.seeds))),
    )


def _test_loss(trials: Trials, folder: Path | None, test: Any) -> float:
    """Return the mean cross-entropy in nats, as `counted_loss` gives it.

    folder: of the run; None for one that diverged.
    """
    from pipeline.models.inference import predict_logits
    from pipeline.models.saved import load_model

    guessing = trials.card.class_prior_entropy
    if folder is None:
        return counted_loss(None, guessing=guessing)
    model = load_model(next((folder / "models").iterdir()))
    logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    logs = log_softmax(logits.astype(np.float64))
    loss = -float(logs[np.arange(len(test)), test.labels].mean())
    return counted_loss(loss, guessing=guessing)
