"""Training that ended while it was still getting better."""

from __future__ import annotations

from pipeline.diagnosis.finding import Finding, above
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, sane_start, together


def judge(m: Measures) -> Finding:
    """Judge how fast validation loss falls at the end."""
    progress = m.val_progress
    falling = above(
        "fall of the validation loss an epoch",
        progress.value,
        limit=0.08 if m.last >= 3 else 0.03,  # the first epochs of a slow start fall slowly
        grey=0.015 if m.last >= 3 else 0.006,
        error=progress.error,
        epochs=progress.epochs,
    )
    return Finding("undertrained", known(falling, together(m, limit=0.6, grey=0.1), sane_start(m)))


RULE = Rule(
    verdict="undertrained",
    what="Training stopped although every epoch still made the model better.",
    harm="The model is not what these settings can give; comparing it with others says little.",
    decides="Validation loss falls by more than 8 % an epoch (3 % in a run of fewer than four) over the last "
    "quarter (four points at least), beyond the noise of that slope, and training loss has not left it behind.",
    fails="A slow fall over very many epochs stays below 8 % an epoch.",
    source="Prechelt, Early Stopping - But When?, 1998; Sen, Estimates of the Regression Coefficient Based on "
    "Kendall's Tau, 1968.",
    explains=frozenset({"underfitting"}),
    judge=judge,
)
