"""Units that are zero on every image."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, weights_alive
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of, any_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import RECURRENT, Settings, batch_norm, lower_rates, random_init
from pipeline.diagnosis.signal_measures import (
    cut_time_step_share,
    num_silent_units,
    silent_unit_share,
)


def judge(run: MeasuredRun) -> Claim:
    """Judge units at the last two moments, the gradient before training, and the training loss."""
    return all_of(
        any_of(
            all_of(
                silent_unit_share(run).above(0.5, grey=0.08),
                num_silent_units(run).above(7.5, grey=1.5),
            ),
            cut_time_step_share(run).above(0.5, grey=0.08),
        ),
        poor_loss(run, "train", times=1.3),
        weights_alive(run),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """A start and an activation that keep units alive, and smaller steps."""
    if s["init"].get("bias", 0.0) < 0:
        why = "half of the units are active at the start"
        yield Remedy("zero_bias", ("init.bias=0.0",), why)
    yield from random_init(s)
    if s["model"]["name"] not in RECURRENT and s["activation"]["name"] == "relu":
        why = "a silent unit still has a gradient"
        yield Remedy("leaky_relu", ("activation=leaky_relu",), why)
        yield from batch_norm(s)
    yield from lower_rates(s, (3,))


FAULT = Fault(
    verdict="dead_units",
    rank=50,
    what="Units give exactly zero on every image. No gradient passes them, so they stay silent.",
    harm="The layer has fewer useful units than its width. When all are dead, no layer before it "
    "learns.",
    decides="More than half of one layer's units, and 8 units or more, are silent on all images "
    "of the sample at two moments in a row. (In a narrower layer this happens by chance.) Or no "
    "gradient reaches more than half of the time steps before the first step, although the last "
    "one's is sizeable. And the training loss is poor.",
    fails="With a small sample of images, a unit for a rare feature looks dead.",
    source="Lu et al., Dying ReLU and Initialization, 2019, https://arxiv.org/abs/1903.06733.",
    explains=frozenset(
        {
            "learning_rate_too_low",
            "not_learning",
            "over_regularized",
            "underfitting",
            "undertrained",
            "vanishing_gradients",
        }
    ),
    judge=judge,
    remedies=remedies,
)
