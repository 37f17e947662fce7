"""Gradients that shrink from layer to layer, or from time step to time step."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, units_alive, weights_alive
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, Unmeasured, all_of, any_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    RECURRENT,
    Settings,
    batch_norm,
    gated_cell,
    he_init,
    orthogonal_init,
    size_of,
)
from pipeline.diagnosis.signal_measures import (
    cut_time_step_share,
    gradient_depth_ratio,
    gradient_time_ratio,
)


def judge(run: MeasuredRun) -> Claim:
    """Judge the network as it was before its first step, and the training loss."""
    return all_of(
        any_of(gradient_depth_ratio(run).below(0.02, grey=0.7), _fades_over_time(run)),
        poor_loss(run, "train", times=1.3),
        weights_alive(run),
        units_alive(run),
    )


def _fades_over_time(run: MeasuredRun) -> Claim:
    """Dead units cut a gradient off at once; that is another fault."""
    cut = cut_time_step_share(run)
    if not isinstance(cut, Unmeasured) and cut.value > 0:
        return Unmeasured("a gradient at every time step")
    return gradient_time_ratio(run).below(1e-4, grey=1.0)


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """Weights, activations and cells that keep the gradient's size."""
    if s["model"]["name"] in RECURRENT:
        yield from _recurrent(s)
        return
    saturates = s["activation"]["name"] in ("sigmoid", "tanh")
    if saturates:
        why = "its derivative is 1 for active units, and He's initialization fits it"
        yield Remedy("relu", ("activation=relu", "init=he"), why)
    yield from batch_norm(s)
    if s["init"]["name"] != "he" and not saturates:
        yield he_init()
    if size_of(s["model"], "depth") > 2:
        yield Remedy("shallower", ("model.depth=2",), "the gradient passes fewer layers")
    if s["optimizer"]["name"] in ("sgd", "momentum", "nesterov"):
        overrides = ("optimizer=adam", "optimizer.learning_rate=1e-3")
        yield Remedy("adam", overrides, "steps have one size in all layers")


def _recurrent(s: Settings) -> Iterator[Remedy]:
    if s["model"]["name"] == "rnn":
        yield gated_cell()
    elif s["init"]["name"] != "default":
        yield Remedy("default_init", ("init=default",), "the cell's usual scale")
    yield from orthogonal_init(s)


FAULT = Fault(
    verdict="vanishing_gradients",
    rank=20,
    what="Each layer or time step multiplies the gradient by less than one on its way back.",
    harm="The first layers or the early time steps learn nothing. The last layers work on random "
    "features.",
    decides="Before the first step, the first layer's gradient (per root of its number of "
    "weights) is below 2 % of that of the last hidden layer. Or the first time step's gradient is "
    "below 1 in 10,000 of the last one's. And the training loss stays poor. Weights that are all "
    "zero and silent units cut a gradient off at once; these are other faults.",
    fails="Adam divides by the gradient's size, so a moderate loss on the way may do no harm.",
    source="Hochreiter, Untersuchungen zu dynamischen neuronalen Netzen, 1991; Glorot and Bengio, "
    "Understanding the difficulty of training deep feedforward neural networks, 2010.",
    explains=frozenset(
        {
            "dead_units",
            "learning_rate_too_high",
            "learning_rate_too_low",
            "not_learning",
            "over_regularized",
            "underfitting",
            "undertrained",
        }
    ),
    judge=judge,
    remedies=remedies,
)
