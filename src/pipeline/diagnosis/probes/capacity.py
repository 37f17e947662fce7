"""Twice the units, added to the trained network: does their number hold the loss up?"""

from __future__ import annotations

import numpy as np

from pipeline.diagnosis.probes.evidence import weighed
from pipeline.diagnosis.probes.longer import still_falling
from pipeline.diagnosis.probes.outcome import Outcome
from pipeline.diagnosis.record import ProbeEvidence


def judge(outcome: Outcome) -> list[ProbeEvidence]:
    """Judge the wider network against the same one, trained on for as long from the same function.

    Both losses have to fall, because training loss alone falls for every wider network. A run that
    still falls fast gives no evidence for underfitting: there every wider network is ahead. A run
    that diverges gives none at all.
    """
    same, wider = outcome.rates[1.0], outcome.wider
    if wider is None or not np.isfinite(same.val).all():
        return []
    below = f"with twice the units, below that with the same ones, after {outcome.length}"
    val = outcome.fall(same, wider, key="wider_val_loss_fall", words=f"validation loss {below}")
    train = outcome.fall(
        same, wider, part="train", key="wider_train_loss_fall", words=f"training loss {below}"
    )
    conditions = [fall.condition("above", 0.08, grey=0.025) for fall in (val, train)]
    evidence = weighed("underfitting", conditions)
    if evidence.points == "for" and still_falling(outcome).probability >= 0.5:
        return []
    return [evidence]
