"""Steps that are too small to get anywhere in a reasonable time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, sane_start, units_alive, weights_alive
from pipeline.diagnosis.curve_levels import generalization_gap
from pipeline.diagnosis.curve_movements import val_loss_fall
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, Unmeasured, all_of, any_of, if_measured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import Settings, more_epochs, value_of
from pipeline.diagnosis.signal_measures import largest_update_ratio

# A good step changes about this share of the weights.
GOOD_UPDATE_RATIO = 3e-3
# The size of the steps where the evidence does not hold it.
ASSUMED_UPDATE_RATIO = 1e-4
LEAST_EPOCHS_OF_A_TREND = 6


def judge(run: MeasuredRun) -> Claim:
    """Judge the largest step of all epochs, and how steadily the loss falls."""
    update = largest_update_ratio(run)
    return all_of(
        any_of(
            update.below(5e-4, grey=0.3),
            all_of(update.below(2e-3, grey=0.3), _falls_steadily(run)),
        ),
        poor_loss(run, "train", times=1.5),
        generalization_gap(run).below(0.3, grey=0.08),
        sane_start(run),
        units_alive(run),
        weights_alive(run),
        # Where nothing moves at all, the network is to blame and not the rate.
        if_measured(update.above(1e-7, grey=1.0)),
    )


def _falls_steadily(run: MeasuredRun) -> Claim:
    if run.num_epochs < LEAST_EPOCHS_OF_A_TREND:
        return Unmeasured(f"{LEAST_EPOCHS_OF_A_TREND} epochs")
    return val_loss_fall(run).above(0.04, grey=0.008)


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """A rate with which a step changes the usual share of the weights, or a longer training."""
    update = value_of(finding, "largest_update_ratio")
    if update is None:
        update = ASSUMED_UPDATE_RATIO
    lacking = min(max(GOOD_UPDATE_RATIO / max(update, 1e-9), 3.0), 1000.0)
    place = round(2 * math.log10(lacking))  # on the ladder 1, 3, 10, 30 …
    rate = s["optimizer"]["learning_rate"]
    for step in (place, place - 1, place + 1):
        times = (1, 3)[step % 2] * 10 ** (step // 2)
        if times > 1:
            overrides = (f"optimizer.learning_rate={rate * times:.3g}",)
            yield Remedy(f"learning_rate*{times}", overrides, "larger steps")
    yield more_epochs(s, times=10)


FAULT = Fault(
    verdict="learning_rate_too_low",
    rank=60,
    what="Each step changes the weights by far less than the usual thousandth.",
    harm="The loss falls so slowly that training would need many times the epochs.",
    decides="The largest step of all epochs (of the median layer) is below 5 in 10,000 of its "
    "weights. Up to 20 in 10,000 count where the validation loss still falls steadily after six "
    "epochs or more. And training and validation loss are both poor and near each other.",
    fails="Weights that are much too large make every step look small. The loss before the first "
    "step then shows it.",
    source="Karpathy, CS231n, Ratio of weights:updates; LeCun, Bottou, Orr, Müller, Efficient "
    "BackProp, 1998.",
    explains=frozenset({"not_learning", "over_regularized", "underfitting", "undertrained"}),
    judge=judge,
    least_epochs=2,
    remedies=remedies,
)
