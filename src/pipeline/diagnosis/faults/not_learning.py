"""Nothing is learned: the answers are no better than guessing, and do not improve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pipeline.diagnosis.curve_levels import (
    best_loss_to_guessing_ratio,
    error_rate_to_guessing_ratio,
    loss_to_guessing_ratio,
)
from pipeline.diagnosis.curve_movements import val_loss_fall
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of, any_of, if_measured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    SHORT_EPOCHS,
    Settings,
    lower_rates,
    more_epochs,
    random_init,
    true_labels,
)


def judge(run: MeasuredRun) -> Claim:
    """Compare validation answers with guessing, and judge whether validation loss still falls."""
    return all_of(
        any_of(
            error_rate_to_guessing_ratio(run).above(0.92, grey=0.03),
            best_loss_to_guessing_ratio(run).above(0.97, grey=0.02),
        ),
        val_loss_fall(run).below(0.004, grey=0.002),
        # Training images that are known by heart show that the network learns.
        if_measured(loss_to_guessing_ratio(run, "train").above(0.5, grey=0.25)),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """A network that can move, labels that belong to their images, and smaller steps."""
    yield from random_init(s)
    yield from true_labels(s)
    if s["data"]["fraction"] == 1:
        why = "a check: a sound set-up learns one batch by heart"
        yield Remedy("overfit_batch", ("debug=overfit_batch",), why)
    if s["trainer"]["max_epochs"] < SHORT_EPOCHS:
        why = "some networks stand still for a few epochs before they learn"
        yield replace(more_epochs(s, times=4), why=why)
    yield from lower_rates(s, (10,))


FAULT = Fault(
    verdict="not_learning",
    rank=70,
    what="The model's answers are no better than guessing, and training does not change that.",
    harm="The run gives no usable model. Either the images do not belong to their labels "
    "(shuffled, misaligned), or the network cannot move (all weights equal, frozen).",
    decides="Validation answers are as wrong as guessing, or the lowest validation loss is that "
    "of guessing. Validation loss does not fall, and the training loss is above half of that of "
    "guessing. A cause that shows in the network (dead units, vanishing gradients, learning rate) "
    "is named instead.",
    fails="A very slow start (a plateau before the first progress) looks the same in its first "
    "epochs. So more epochs are among the remedies of a run of fewer than eight.",
    source="Zhang et al., Understanding deep learning requires rethinking generalization, 2017, "
    "https://arxiv.org/abs/1611.03530.",
    explains=frozenset({"label_noise", "overfitting", "underfitting", "undertrained"}),
    judge=judge,
    least_epochs=3,
    remedies=remedies,
)
