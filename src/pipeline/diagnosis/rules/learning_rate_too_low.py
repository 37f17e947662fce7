"""Steps that are too small to arrive in any reasonable time."""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, Finding, Missing, above, below
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules.card import Rule
from pipeline.diagnosis.rules.harm import known, poor, sane_start, together, units_alive, weights_alive

STEP = "a step's size against the weights"  # what the remedies look for among the conditions


def judge(m: Measures) -> Finding:
    """Judge the largest update of the weights of all epochs, and how steadily the loss falls."""
    if m.last < 1:
        raise Missing("two epochs")
    network = known(sane_start(m), units_alive(m), weights_alive(m), _moves(m))
    shared = (poor(m, "train", times=1.5), together(m, limit=0.3, grey=0.08), *network)
    ways: list[tuple[Condition, ...]] = [(_small(m, limit=5e-4),)]
    if m.last >= 5:
        ways.append((_small(m, limit=2e-3), _steady(m)))
    return max(
        (Finding("learning_rate_too_low", (*way, *shared)) for way in ways), key=lambda f: f.probability
    )


def _small(m: Measures, *, limit: float) -> Condition:
    update = m.largest_update
    return below(
        STEP,
        update.value,
        limit=limit,
        grey=0.3,
        log=True,
        epochs=update.epochs,
        unit="×",
    )


def _steady(m: Measures) -> Condition:
    progress = m.val_progress
    return above(
        "fall of the validation loss an epoch, after six or more",
        progress.value,
        limit=0.04,
        grey=0.008,
        error=progress.error,
        epochs=progress.epochs,
    )


def _moves(m: Measures) -> Condition | None:
    """Nothing that moves at all is a matter of the network, not of the rate."""
    try:
        return above(STEP, m.largest_update.value, limit=1e-7, grey=1.0, log=True)
    except Missing:
        return None


RULE = Rule(
    verdict="learning_rate_too_low",
    what="Each step changes the weights by far less than the usual thousandth.",
    harm="The loss falls, but would need many times the epochs; training ends at a random place on the way.",
    decides="The median layer's largest step of all epochs is below 5 in 10,000 of its weights (below 20 in "
    "10,000 where the loss still falls steadily after six epochs or more), while training and validation loss "
    "are both still poor and together.",
    fails="Weights that are much too large make every step look small: the loss before the first step tells.",
    source="Karpathy, CS231n, Ratio of weights:updates; LeCun et al., Efficient BackProp, 1998.",
    explains=frozenset({"undertrained", "underfitting", "not_learning", "over_regularized"}),
    judge=judge,
)
