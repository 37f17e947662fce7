"""Claims that several faults share: a poor loss, and a network that is sound before training."""

from __future__ import annotations

import math

from pipeline.diagnosis.curve_levels import (
    infinite_loss,
    initial_loss_ratio,
    loss_to_baseline_ratio,
    loss_to_guessing_ratio,
)
from pipeline.diagnosis.measured import Claim, first_measured, if_measured
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import Part
from pipeline.diagnosis.signal_measures import initial_silent_share, zero_layer_share

# A loss counts as poor above this share of that of guessing, where no baseline is known.
POOR_SHARE_OF_GUESSING = 0.2
# Logarithm of guessing over the better baseline on MNIST, 4,000 images of 14x14: 2.303 over 0.170.
ROOM = 2.607
# A loss before the first step is wild above so many times that of guessing.
WILD_START, WILD_START_GREY = 6.0, 0.35


def poor_loss(run: MeasuredRun, part: Part, *, times: float) -> Claim:
    """Claim that a loss is above ``times`` that of the better baseline, or not finite.

    ``times`` holds where the baseline is as far below guessing as on MNIST, `ROOM` in logarithms.
    Where it is nearer to guessing, the same share of that way counts. Without a baseline: above a
    share of the loss of guessing. Training loss is that of the last epoch, validation loss that of
    the kept one.
    """
    without_baseline = POOR_SHARE_OF_GUESSING * times
    return first_measured(
        infinite_loss(run, part).above(1.0, grey=1.0),
        loss_to_baseline_ratio(run, part).above(_within_room(run, times), grey=0.2),
        loss_to_guessing_ratio(run, part).above(without_baseline, grey=0.2),
    )


def _within_room(run: MeasuredRun, times: float) -> float:
    """``times``, smaller where little lies between the better baseline and guessing."""
    if times <= 1:
        return times
    try:
        room = math.log(run.guessing_loss / run.baseline_loss)
    except Missing:
        return times
    return float(times ** min(max(room, 0.0) / ROOM, 1.0))


def wild_start(run: MeasuredRun) -> Claim:
    """Claim that the loss before the first step is many times that of guessing."""
    return initial_loss_ratio(run).above(WILD_START, grey=WILD_START_GREY)


def sane_start(run: MeasuredRun) -> Claim:
    """The opposite of `wild_start`, where that was measured."""
    return if_measured(initial_loss_ratio(run).below(WILD_START, grey=WILD_START_GREY))


def weights_alive(run: MeasuredRun) -> Claim:
    """Claim that not all weights are zero before training, where that was measured."""
    return if_measured(zero_layer_share(run).below(0.5, grey=0.1))


def units_alive(run: MeasuredRun) -> Claim:
    """Claim that most units answer to some image before training, where that was measured."""
    return if_measured(initial_silent_share(run).below(0.6, grey=0.1))
