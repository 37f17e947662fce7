"""Steps that are too large: divergence, oscillation, weights that blow up."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, sane_start
from pipeline.diagnosis.curve_levels import divergence_ratio, generalization_gap
from pipeline.diagnosis.curve_movements import train_loss_roughness
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of, any_of, if_measured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import Settings, clip, far_from_usual, lower_rates, value_of
from pipeline.diagnosis.signal_measures import (
    fallen_silent_share,
    typical_update_ratio,
    weight_growth,
)

# Weights that grew by more than this factor need a far lower rate.
STEEP_GROWTH = 4


def judge(run: MeasuredRun) -> Claim:
    """Judge the curves' shape, the size of the steps, and the network after the first epoch."""
    return all_of(
        any_of(
            divergence_ratio(run).above(1.5, grey=0.15),
            train_loss_roughness(run).above(0.05, grey=0.35),
            all_of(
                typical_update_ratio(run).above(8e-3, grey=0.25),
                train_loss_roughness(run).above(0.015, grey=0.35),
            ),
            weight_growth(run).above(3.2, grey=0.2),
            fallen_silent_share(run).above(0.5, grey=0.07),
        ),
        poor_loss(run, "val", times=1.2),
        # Training images that are known by heart show that the steps arrive.
        if_measured(generalization_gap(run).below(0.8, grey=0.07)),
        sane_start(run),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """A lower rate, further down where the steps did much; clipping; a schedule that ends low."""
    usual = far_from_usual(s)
    if usual is not None:
        why = "the usual rate of this optimizer"
        yield Remedy("usual_learning_rate", (f"optimizer.learning_rate={usual:g}",), why)
    yield from lower_rates(s, (30, 10, 100) if _steep(finding) else (10, 3, 30))
    yield from clip(s)
    if s["schedule"]["name"] == "constant":
        yield Remedy("cosine", ("schedule=cosine",), "steps that shrink come to rest")


def _steep(finding: Finding) -> bool:
    """Whether the loss was lost, units fell silent, or weights grew many times."""
    return (
        any(math.isinf(c.value) for c in finding.conditions)
        or value_of(finding, "fallen_silent_share") is not None
        or (value_of(finding, "weight_growth") or 0.0) > STEEP_GROWTH
    )


FAULT = Fault(
    verdict="learning_rate_too_high",
    rank=40,
    what="The steps are too large: they jump over the minimum, or out of the valley.",
    harm="The loss oscillates or diverges. Units can reach regions from which they do not return.",
    decides="One of five signs shows. The loss is not finite, or above 1.5 times that of "
    "guessing. The training loss rises from epoch to epoch by 5 % on average. It rises by 1.5 % "
    "and a typical step changes the weights by more than 8 in 1,000. The first epoch multiplied a "
    "layer's weights by 3.2 or more. Half of a layer's units fell silent. And the kept model is "
    "poor, and its training loss is above 20 % of its validation loss. The loss before the first "
    "step was not huge; that is another fault.",
    fails="Small batches shake a curve too. A schedule that ends low hides an early oscillation.",
    source="LeCun, Bottou, Orr, Müller, Efficient BackProp, 1998, section 5; Goodfellow, Bengio, "
    "Courville, Deep Learning, 2016, 8.2 and 11.4.1; Karpathy, CS231n, Ratio of weights:updates.",
    explains=frozenset(
        {
            "dead_units",
            "not_learning",
            "over_regularized",
            "overfitting",
            "underfitting",
            "undertrained",
        }
    ),
    judge=judge,
    remedies=remedies,
)
