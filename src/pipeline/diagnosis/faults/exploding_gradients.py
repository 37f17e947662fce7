"""Gradients that grow from layer to layer, or from time step to time step."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.diagnosis.conditions import poor_loss, weights_alive, wild_start
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.measured import Claim, all_of, any_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding, Remedy
from pipeline.diagnosis.remedies import (
    RECURRENT,
    Settings,
    batch_norm,
    clip,
    gated_cell,
    he_init,
)
from pipeline.diagnosis.signal_measures import gradient_depth_ratio, gradient_time_ratio


def judge(run: MeasuredRun) -> Claim:
    """Judge the network as it was before its first step, and the kept model."""
    return all_of(
        any_of(
            wild_start(run),
            gradient_depth_ratio(run).above(60.0, grey=0.7),
            gradient_time_ratio(run).above(1.0, grey=0.5),
        ),
        poor_loss(run, "val", times=1.1),
        weights_alive(run),
    )


def remedies(s: Settings, finding: Finding) -> Iterator[Remedy]:
    """Smaller initial weights, an architecture that bounds its state, and clipping."""
    recurrent, gain = s["model"]["name"] in RECURRENT, s["init"].get("gain", 1.0)
    if gain > 1:
        yield Remedy("unit_gain", ("init.gain=1.0",), "layers and time steps amplify nothing")
    elif not recurrent and s["init"]["name"] != "he":
        yield he_init()
    if s["model"]["name"] == "rnn":
        yield gated_cell()
    if not recurrent:
        yield from batch_norm(s)
    yield from clip(s)


FAULT = Fault(
    verdict="exploding_gradients",
    rank=10,
    what="Each layer or time step multiplies activations or gradients by more than one.",
    harm="The first steps are huge and random, and the loss starts far above that of guessing.",
    decides="Before the first step, one of three numbers is too high. The loss is more than 6 "
    "times that of guessing. Or the first layer's gradient is more than 60 times that of the last "
    "hidden layer. Or the first time step's gradient is larger than the last one's. And the kept "
    "model is poor.",
    fails="A network that starts badly goes unnoticed once a long training has made it good.",
    source="Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural networks, "
    "2013; Glorot and Bengio, Understanding the difficulty of training deep feedforward neural "
    "networks, 2010.",
    explains=frozenset(
        {
            "dead_units",
            "label_noise",
            "learning_rate_too_high",
            "learning_rate_too_low",
            "not_learning",
            "over_regularized",
            "overfitting",
            "underfitting",
            "undertrained",
            "vanishing_gradients",
        }
    ),
    judge=judge,
    remedies=remedies,
)
