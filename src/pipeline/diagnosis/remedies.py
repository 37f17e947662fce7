"""Changes of a run's settings that several faults offer.

A remedy is offered only where it is not in force already and has an effect in the configuration.
Sources: Goodfellow, Bengio, Courville, Deep Learning, 2016, chapters 7, 8 and 11; the faults'
cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.diagnosis.record import Finding, Remedy

Settings = Mapping[str, Any]
CHECKS = ("overfit_batch",)  # such a run shows what is wrong, and mends nothing
MOST_COST = 12.0  # times as long as the run itself; a longer remedy must be asked for by name
RECURRENT = ("rnn", "lstm", "gru")
# What each optimizer has in conf/: a rate far above it needs no search in steps of ten.
USUAL_RATE = {
    **{"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "adagrad": 0.01},
    **{"sgd": 0.1, "momentum": 0.05, "nesterov": 0.05},
}
FAR_ABOVE_USUAL = 100
MORE_EPOCHS = "more_epochs"
SHORT_EPOCHS = 8  # some networks stand still for so long before they learn
# Sections that have no effect on a LightningModule of a person's own.
OF_OUR_TRAINING = ("activation", "init", "loss", "penalty", "optimizer", "schedule")


def of_table(s: Settings) -> bool:
    """Whether the examples are rows of a table, which have no pixels."""
    return "target" in s["data"]


def number_of(model: Settings, key: str) -> float | None:
    """Return an argument of a network; None where a class of a person's own means no number."""
    value = model.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def size_of(model: Settings, key: str) -> int:
    """Return a whole number among the arguments of a network; 0 where there is none."""
    value = number_of(model, key)
    return value if isinstance(value, int) else 0


def can_drop(model: Settings) -> bool:
    """Whether a network has a dropout that acts: one recurrent layer has none."""
    one_layer = model["name"] in RECURRENT and size_of(model, "depth") < 2
    return number_of(model, "dropout") is not None and not one_layer


def file_label(name: str) -> str:
    """Return a remedy's name as part of a file's or a run's name."""
    for sign, word in (("+", "_and_"), ("/", "_over_"), ("*", "_times_"), (".", "_")):
        name = name.replace(sign, word)
    return name


def works_on_own_module(remedy: Remedy) -> bool:
    """Whether a remedy changes a LightningModule that has its own loss, optimizer and weights."""
    keys = [override.partition("=")[0].partition(".")[0] for override in remedy.overrides]
    return not any(key in OF_OUR_TRAINING for key in keys)


def to_prove(offered: Sequence[Remedy]) -> list[Remedy]:
    """Return the remedies that change something; the dear ones only where there is no other."""
    changes = [remedy for remedy in offered if remedy.name not in CHECKS]
    return [remedy for remedy in changes if remedy.cost <= MOST_COST] or changes


def value_of(finding: Finding, key: str) -> float | None:
    """Return the number of a finding's first condition of that key; None without one."""
    return next((c.value for c in finding.conditions if c.key == key), None)


def far_from_usual(settings: Settings) -> float | None:
    """Return the optimizer's usual learning rate where the run's is far above it, else None."""
    usual = USUAL_RATE.get(settings["optimizer"]["name"])
    if usual and settings["optimizer"]["learning_rate"] > FAR_ABOVE_USUAL * usual:
        return usual
    return None


# --- more or less regularization ------------------------------------------------------------------


def more_regularization(s: Settings) -> Iterator[Remedy]:
    """Each regularization that is not in force."""
    model, optimizer = s["model"], s["optimizer"]
    if can_drop(model) and model["dropout"] < 0.4:
        yield Remedy("dropout", ("model.dropout=0.5",), "no unit can rely on another one")
    if s["augment"]["name"] == "none" and not of_table(s):
        why = "every epoch shows other images of the same classes"
        yield Remedy("augment", ("augment=affine",), why)
    if s["penalty"]["l2"] == 0:
        yield Remedy("l2", ("penalty=l2",), "large weights have to be worth their price")

    decay = "optimizer.weight_decay=0.1"
    why = "weights shrink unless the data holds them"
    if optimizer["name"] == "adamw" and optimizer["weight_decay"] < 0.05:
        yield Remedy("weight_decay", (decay,), why)
    if optimizer["name"] == "adam":
        yield Remedy("weight_decay", ("optimizer=adamw", decay), why)

    yield from label_smoothing(s)
    if s["penalty"]["l1"] == 0:
        yield Remedy("l1", ("penalty=l1",), "weights that do not help become zero")


def label_smoothing(s: Settings) -> Iterator[Remedy]:
    """Label smoothing, where the loss is plain cross-entropy."""
    if s["loss"]["name"] == "cross_entropy":
        why = "answers that are too certain cost more"
        yield Remedy("label_smoothing", ("loss=label_smoothing",), why)


def less_regularization(s: Settings) -> Iterator[Remedy]:
    """Each strong regularization that is in force, taken away; first all of them together."""
    parts = list(_each_taken_away(s))
    if len(parts) > 1:
        every = tuple(override for part in parts for override in part.overrides)
        yield Remedy("no_regularization", every, "first fit the data, then regularize")
    yield from parts


def _each_taken_away(s: Settings) -> Iterator[Remedy]:
    if s["penalty"]["l1"] > 0 or s["penalty"]["l2"] > 0:
        no_penalty = ("penalty.l1=0.0", "penalty.l2=0.0")
        yield Remedy("no_penalty", no_penalty, "weights cost nothing")
    strong = [k for k in ("dropout", "block_dropout") if (number_of(s["model"], k) or 0.0) > 0.3]
    if strong:
        overrides = tuple(f"model.{key}=0.1" for key in strong)
        yield Remedy("less_dropout", overrides, "units may work together")
    if s["optimizer"]["weight_decay"] > 0.01:
        yield Remedy("less_weight_decay", ("optimizer.weight_decay=0.0",), "weights may grow")
    if s["augment"]["name"] != "none":
        yield Remedy("no_augmentation", ("augment=none",), "the images themselves come first")


# --- length and size ------------------------------------------------------------------------------


def early_stopping(s: Settings) -> Iterator[Remedy]:
    """Keep the best epoch, where the last one is kept."""
    if s["trainer"]["keep"] != "best" and s["trainer"]["max_epochs"] > 1:
        overrides = ("trainer.early_stopping_patience=3", "trainer.keep=best")
        yield Remedy("early_stopping", overrides, "the weights of the best epoch are kept")


def more_epochs(s: Settings, *, times: int) -> Remedy:
    """Train ``times`` as long, ten epochs at least."""
    epochs = max(times * s["trainer"]["max_epochs"], 10)
    why, cost = "the loss was still falling", epochs / s["trainer"]["max_epochs"]
    return Remedy(MORE_EPOCHS, (f"trainer.max_epochs={epochs}",), why, cost=cost)


def wider(s: Settings) -> Iterator[Remedy]:
    """Four times as many units, where the model has a width."""
    model = s["model"]
    if not size_of(model, "width"):
        return
    least = 16 if model["name"] in ("cnn", "resnet") else 64
    overrides = [f"model.width={max(least, 4 * model['width'])}"]
    if model["name"] == "cnn" and model["dense"] < 64:
        overrides.append("model.dense=128")
    yield Remedy("wider", tuple(overrides), "more units can follow the differences of the classes")


# --- steps ----------------------------------------------------------------------------------------


def lower_rates(s: Settings, factors: Sequence[float]) -> Iterator[Remedy]:
    """The learning rate divided by each factor."""
    rate = s["optimizer"]["learning_rate"]
    for factor in factors:
        overrides = (f"optimizer.learning_rate={rate / factor:g}",)
        yield Remedy(f"learning_rate/{factor:g}", overrides, "smaller steps")


def clip(s: Settings) -> Iterator[Remedy]:
    """Clip the gradient, where it is not clipped."""
    by_value = (s["trainer"].get("extra") or {}).get("gradient_clip_val")
    if s["trainer"]["gradient_clip_norm"] is None and by_value is None:
        why = "no step exceeds a limit"
        yield Remedy("clip", ("trainer.gradient_clip_norm=1.0",), why)


# --- initialization and architecture --------------------------------------------------------------


def random_init(s: Settings) -> Iterator[Remedy]:
    """Random weights, where all begin at zero."""
    if s["init"]["name"] == "zeros":
        init = "default" if s["model"]["name"] in RECURRENT else "he"
        why = "units that begin differently learn different things"
        yield Remedy("random_init", (f"init={init}",), why)


def he_init() -> Remedy:
    """He's initialization."""
    return Remedy("he", ("init=he",), "variance stays the same from layer to layer")


def orthogonal_init(s: Settings) -> Iterator[Remedy]:
    """Orthogonal weights, where they are not."""
    if s["init"]["name"] != "orthogonal":
        why = "each time step preserves the length of the state"
        yield Remedy("orthogonal", ("init=orthogonal",), why)


def gated_cell() -> Remedy:
    """An LSTM in the place of a plain recurrent network."""
    overrides = ("model=lstm", "init=default")
    return Remedy("gated_cell", overrides, "gates keep state and gradient in bounds over time")


def batch_norm(s: Settings) -> Iterator[Remedy]:
    """Batch normalization, where the model can have it and has none."""
    if s["model"].get("normalization") == "none":
        why = "every layer's input has mean 0 and variance 1"
        yield Remedy("batch_norm", ("model.normalization=batch",), why)


# --- data -----------------------------------------------------------------------------------------


def true_labels(s: Settings) -> Iterator[Remedy]:
    """Labels as they were, where noise was added."""
    if s["data"]["label_noise"] > 0:
        why = "each image has its own label again"
        yield Remedy("true_labels", ("data.label_noise=0.0",), why)
