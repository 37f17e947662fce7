"""Regularization that keeps the network from fitting even its training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.diagnosis.conditions import poor_loss, sane_start
from pipeline.diagnosis.curve_levels import regularization_ratio
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, Measured, all_of, any_of, measurement
from pipeline.diagnosis.measured_run import MeasuredRun, Missing
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import Settings, less_regularization, wider
from pipeline.diagnosis.signal_measures import penalty_gradient_share


def judge(run: MeasuredRun) -> Claim:
    """Judge how strong regularization is, and how well the training images are fitted."""
    return all_of(
        any_of(
            penalty_gradient_share(run).above(0.05, grey=0.3),
            dropout_rate(run).above(0.7, grey=0.05),
            regularization_ratio(run).above(3.0, grey=0.3),
        ),
        poor_loss(run, "train", times=1.0),
        sane_start(run),
    )


@measurement("largest dropout rate")
def dropout_rate(run: MeasuredRun) -> Measured:
    """The largest dropout among the model's settings, 0 … 1."""
    model = run.history.context.settings.get("model")
    if not isinstance(model, Mapping):
        raise Missing("the settings")
    dropouts = [value for key, value in model.items() if "dropout" in key]
    rates = [float(value) for value in dropouts if isinstance(value, int | float)]
    if not rates:
        raise Missing("a dropout")
    return Measured(max(rates))


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """Less regularization, or a network that can bear it."""
    yield from less_regularization(s)
    yield from wider(s)


FAULT = Fault(
    verdict="over_regularized",
    rank=30,
    what="Penalties, dropout or augmentation are stronger than the data needs.",
    harm="The network cannot use its capacity: training and validation loss stay high together.",
    decides="Penalties make up 5 % of the gradient or more (median of the epochs). Or dropout is "
    "above 0.7. Or regularization multiplies the training loss by 3. And even the training loss "
    "is above the validation loss of the better baseline.",
    fails="Decoupled weight decay (AdamW) is not part of the gradient, so its share does not show.",
    source="Goodfellow, Bengio, Courville, Deep Learning, 2016, 7.1 and 11.4.",
    explains=frozenset(
        {
            "dead_units",
            "learning_rate_too_high",
            "learning_rate_too_low",
            "not_learning",
            "underfitting",
            "undertrained",
        }
    ),
    judge=judge,
    remedies=remedies,
)
