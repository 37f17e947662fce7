"""What to do about a finding: ordered remedies, each as overrides of the run's own configuration.

A remedy is offered only where it is not in force already and has an effect in the configuration.
Sources: Goodfellow, Bengio, Courville, Deep Learning, 2016, chapters 7, 8 and 11; the rules' own cards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.diagnosis.finding import Finding
from pipeline.diagnosis.rules.learning_rate_too_high import FELL_SILENT, GREW
from pipeline.diagnosis.rules.learning_rate_too_low import STEP

Settings = Mapping[str, Any]
CHECKS = ("overfit_batch",)  # shows what is wrong, and mends nothing
RECURRENT = ("rnn", "lstm", "gru")
# What each optimizer has in conf/: a rate far above it needs no search in steps of ten.
USUAL_RATE = {
    **{"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "adagrad": 0.01},
    **{"sgd": 0.1, "momentum": 0.05, "nesterov": 0.05},
}


@dataclass(frozen=True)
class Remedy:
    """One change. overrides: in Hydra's grammar, to be added to those of the run.

    cost: about how many times as long as the run itself a run with it takes.
    """

    name: str
    overrides: tuple[str, ...]
    why: str
    cost: float = 1.0


def label(name: str) -> str:
    """A remedy's name as part of a file's or a run's name."""
    for sign, word in (("+", "_and_"), ("/", "_over_"), ("*", "_times_"), (".", "_")):
        name = name.replace(sign, word)
    return name


def remedies(findings: Sequence[Finding], settings: Settings) -> dict[str, tuple[Remedy, ...]]:
    """Return the remedies of each finding, best first; nothing without the run's settings."""
    if not settings:
        return {}
    return {f.verdict: tuple(_REMEDIES[f.verdict](settings, f)) for f in findings if f.verdict in _REMEDIES}


def far_from_usual(settings: Settings) -> float | None:
    """The optimizer's usual learning rate, where the run's is more than a hundred times as high; else None."""
    usual = USUAL_RATE.get(settings["optimizer"]["name"])
    return usual if usual and settings["optimizer"]["learning_rate"] > 100 * usual else None


def named(settings: Settings) -> dict[str, Remedy]:
    """Every remedy that has an effect in these settings, by name, whatever it is meant against."""
    nothing = Finding("", ())
    every = (r for build in _REMEDIES.values() for r in build(settings, nothing))
    return {r.name: r for r in reversed(list(every)) if r.name not in CHECKS}


# --- against each verdict -------------------------------------------------------------------------


def _overfitting(s: Settings, f: Finding) -> Iterator[Remedy]:
    if s["data"]["fraction"] < 1:
        yield Remedy(
            "more_data",
            ("data.fraction=1.0",),
            "more images leave less to learn by heart",
            cost=1 / s["data"]["fraction"],
        )
    yield from _regularize(s)
    yield from _stop(s)
    if s["model"]["width"] >= 32:
        yield Remedy(
            "smaller_model", (f"model.width={s['model']['width'] // 2}",), "less room to learn by heart in"
        )


def _regularize(s: Settings) -> Iterator[Remedy]:
    model, can_drop = s["model"], s["model"]["name"] not in RECURRENT or s["model"].get("depth", 1) > 1
    if can_drop and model.get("dropout", 1.0) < 0.4:
        yield Remedy("dropout", ("model.dropout=0.5",), "no unit can rely on another one")
    if s["augment"]["name"] == "none":
        yield Remedy("augment", ("augment=affine",), "every epoch shows other images of the same classes")
    if s["penalty"]["l2"] == 0:
        yield Remedy("l2", ("penalty=l2",), "large weights have to be worth their price")
    if s["optimizer"]["name"] == "adamw" and s["optimizer"]["weight_decay"] < 0.05:
        yield Remedy(
            "weight_decay", ("optimizer.weight_decay=0.1",), "weights shrink unless the data holds them"
        )
    if s["optimizer"]["name"] == "adam":
        yield Remedy(
            "weight_decay",
            ("optimizer=adamw", "optimizer.weight_decay=0.1"),
            "weights shrink unless the data holds them",
        )
    if s["loss"]["name"] == "cross_entropy":
        yield Remedy("label_smoothing", ("loss=label_smoothing",), "certainty beyond reason does not pay")
    if s["penalty"]["l1"] == 0:
        yield Remedy("l1", ("penalty=l1",), "weights that do not help become zero")


def _stop(s: Settings) -> Iterator[Remedy]:
    if s["trainer"]["keep"] != "best" and s["trainer"]["max_epochs"] > 1:
        yield Remedy(
            "early_stopping",
            ("trainer.early_stopping_patience=3", "trainer.keep=best"),
            "the weights of the best epoch are kept",
        )


def _underfitting(s: Settings, f: Finding) -> Iterator[Remedy]:
    yield _wider(s)
    if s["model"]["name"] in ("mlp", *RECURRENT):
        yield Remedy("deeper", (f"model.depth={s['model']['depth'] + 1}",), "features of features")
    if s["model"]["name"] == "mlp":
        yield Remedy("richer_features", ("model=cnn",), "convolutions see strokes wherever they are")
    yield _longer(s, times=3)
    yield from _lighten(s)


def _wider(s: Settings) -> Remedy:
    model = s["model"]
    least = 16 if model["name"] == "cnn" else 64
    overrides = [f"model.width={max(least, 4 * model['width'])}"]
    if model["name"] == "cnn" and model["dense"] < 64:
        overrides.append("model.dense=128")
    return Remedy("wider", tuple(overrides), "more units can follow what tells the classes apart")


def _undertrained(s: Settings, f: Finding) -> Iterator[Remedy]:
    yield _longer(s, times=4)
    yield Remedy(
        "higher_learning_rate",
        (f"optimizer.learning_rate={3 * s['optimizer']['learning_rate']:g}",),
        "the same way in fewer steps",
    )


def _longer(s: Settings, *, times: int) -> Remedy:
    epochs = max(times * s["trainer"]["max_epochs"], 10)
    cost = epochs / s["trainer"]["max_epochs"]
    return Remedy("more_epochs", (f"trainer.max_epochs={epochs}",), "it was still getting better", cost=cost)


def _over_regularized(s: Settings, f: Finding) -> Iterator[Remedy]:
    yield from _lighten(s)
    yield _wider(s)


def _lighten(s: Settings) -> Iterator[Remedy]:
    """Each regularisation that is in force, taken away; first all that are strong together."""
    parts = []
    if s["penalty"]["l1"] > 0 or s["penalty"]["l2"] > 0:
        parts.append(Remedy("no_penalty", ("penalty.l1=0.0", "penalty.l2=0.0"), "weights cost nothing"))
    drops = [k for k in ("dropout", "block_dropout") if s["model"].get(k, 0.0) > 0.3]
    if drops:
        parts.append(
            Remedy("less_dropout", tuple(f"model.{k}=0.1" for k in drops), "units may work together")
        )
    if s["optimizer"]["weight_decay"] > 0.01:
        parts.append(Remedy("less_weight_decay", ("optimizer.weight_decay=0.0",), "weights may grow"))
    if s["augment"]["name"] != "none":
        parts.append(Remedy("no_augmentation", ("augment=none",), "the images themselves come first"))
    if len(parts) > 1:
        every = tuple(o for part in parts for o in part.overrides)
        yield Remedy("no_regularization", every, "first fit, then regularise")
    yield from parts


def _rate_too_high(s: Settings, f: Finding) -> Iterator[Remedy]:
    rate = s["optimizer"]["learning_rate"]
    steep = any(c.what == GREW and c.value > 4 for c in f.conditions) or any(
        math.isinf(c.value) or c.what.startswith(FELL_SILENT) for c in f.conditions
    )
    usual = far_from_usual(s)
    if usual is not None:
        why = "the rate that this optimizer starts with elsewhere"
        yield Remedy("usual_learning_rate", (f"optimizer.learning_rate={usual:g}",), why)
    factors = (30, 10, 100) if steep else (10, 3, 30)
    for factor in factors:
        yield Remedy(
            f"learning_rate/{factor}", (f"optimizer.learning_rate={rate / factor:g}",), "smaller steps"
        )
    if s["trainer"]["gradient_clip_norm"] is None:
        yield Remedy("clip", ("trainer.gradient_clip_norm=1.0",), "no step is larger than a limit")
    if s["schedule"]["name"] == "constant":
        yield Remedy("cosine", ("schedule=cosine",), "steps that become smaller come to rest")


def _rate_too_low(s: Settings, f: Finding) -> Iterator[Remedy]:
    rate = s["optimizer"]["learning_rate"]
    update = next((c.value for c in f.conditions if c.what == STEP), 1e-4)
    # Towards 3 in 1,000 of the weights a step, in thirds of a power of ten.
    exact = min(max(3e-3 / max(update, 1e-9), 3.0), 1000.0)
    factor = 10 ** (round(2 * math.log10(exact)) / 2)
    for times in (factor, factor / 3, factor * 3):
        yield Remedy(
            f"learning_rate*{times:.3g}", (f"optimizer.learning_rate={rate * times:.3g}",), "larger steps"
        )
    yield _longer(s, times=10)


def _vanishing(s: Settings, f: Finding) -> Iterator[Remedy]:
    model = s["model"]
    if model["name"] == "rnn":
        yield Remedy("gated_cell", ("model=lstm", "init=default"), "gates let the gradient pass through time")
        if s["init"]["name"] != "orthogonal":
            yield Remedy("orthogonal", ("init=orthogonal",), "a step through time keeps lengths")
        return
    if model["name"] in RECURRENT:
        if s["init"]["name"] != "default":
            yield Remedy("default_init", ("init=default",), "the cell's own scale")
        if s["init"]["name"] != "orthogonal":
            yield Remedy("orthogonal", ("init=orthogonal",), "a step through time keeps lengths")
        return
    if s["activation"]["name"] in ("sigmoid", "tanh"):
        yield Remedy(
            "relu",
            ("activation=relu", "init=he"),
            "its derivative is 1 where it answers, and He's scale fits it",
        )
    if model["normalization"] == "none":
        yield Remedy("batch_norm", ("model.normalization=batch",), "every layer's input has unit variance")
    if s["init"]["name"] != "he" and s["activation"]["name"] not in ("sigmoid", "tanh"):
        yield Remedy("he", ("init=he",), "variance stays the same from layer to layer")
    if model["depth"] > 2:
        yield Remedy("shallower", ("model.depth=2",), "fewer factors on the way back")
    if s["optimizer"]["name"] in ("sgd", "momentum", "nesterov"):
        yield Remedy(
            "adam", ("optimizer=adam", "optimizer.learning_rate=1e-3"), "steps of one size in all layers"
        )


def _exploding(s: Settings, f: Finding) -> Iterator[Remedy]:
    if s["model"]["name"] in RECURRENT:
        if s["init"].get("gain", 1.0) > 1:
            yield Remedy("unit_gain", ("init.gain=1.0",), "a step through time keeps lengths")
        if s["model"]["name"] == "rnn":
            yield Remedy("gated_cell", ("model=lstm", "init=default"), "gates bound the state")
    else:
        if s["init"].get("gain", 1.0) > 1:
            yield Remedy("unit_gain", ("init.gain=1.0",), "variance stays the same from layer to layer")
        elif s["init"]["name"] != "he":
            yield Remedy("he", ("init=he",), "variance stays the same from layer to layer")
        if s["model"]["normalization"] == "none":
            yield Remedy(
                "batch_norm", ("model.normalization=batch",), "every layer's input has unit variance"
            )
    if s["trainer"]["gradient_clip_norm"] is None:
        yield Remedy("clip", ("trainer.gradient_clip_norm=1.0",), "no step is larger than a limit")


def _dead(s: Settings, f: Finding) -> Iterator[Remedy]:
    if s["init"].get("bias", 0.0) < 0:
        yield Remedy("zero_bias", ("init.bias=0.0",), "half of the units answer at the start")
    if s["init"]["name"] == "zeros":
        yield _started(s)
    if s["model"]["name"] not in RECURRENT and s["activation"]["name"] == "relu":
        yield Remedy("leaky_relu", ("activation=leaky_relu",), "a silent unit still has a gradient")
        if s["model"]["normalization"] == "none":
            yield Remedy("batch_norm", ("model.normalization=batch",), "inputs are spread around zero")
    rate = s["optimizer"]["learning_rate"]
    yield Remedy("learning_rate/3", (f"optimizer.learning_rate={rate / 3:g}",), "steps that kill no unit")


def _not_learning(s: Settings, f: Finding) -> Iterator[Remedy]:
    if s["init"]["name"] == "zeros":
        yield _started(s)
    if s["data"]["label_noise"] > 0:
        yield Remedy("true_labels", ("data.label_noise=0.0",), "labels that belong to their images")
    if s["data"]["fraction"] == 1:
        yield Remedy(
            "overfit_batch", ("debug=overfit_batch",), "a check: a sound set-up learns one batch by heart"
        )
    rate = s["optimizer"]["learning_rate"]
    yield Remedy(
        "learning_rate/10", (f"optimizer.learning_rate={rate / 10:g}",), "steps may be far too large"
    )


def _started(s: Settings) -> Remedy:
    init = "default" if s["model"]["name"] in RECURRENT else "he"
    return Remedy("random_init", (f"init={init}",), "units that begin differently learn different things")


def _label_noise(s: Settings, f: Finding) -> Iterator[Remedy]:
    if s["data"]["label_noise"] > 0:
        yield Remedy("true_labels", ("data.label_noise=0.0",), "labels that belong to their images")
    yield from _stop(s)
    if s["loss"]["name"] == "cross_entropy":
        yield Remedy("label_smoothing", ("loss=label_smoothing",), "no label is trusted to the end")
    yield from (r for r in _regularize(s) if r.name in ("dropout", "augment"))


_REMEDIES: dict[str, Callable[[Settings, Finding], Iterator[Remedy]]] = {
    "overfitting": _overfitting,
    "underfitting": _underfitting,
    "undertrained": _undertrained,
    "over_regularized": _over_regularized,
    "learning_rate_too_high": _rate_too_high,
    "learning_rate_too_low": _rate_too_low,
    "vanishing_gradients": _vanishing,
    "exploding_gradients": _exploding,
    "dead_units": _dead,
    "not_learning": _not_learning,
    "label_noise": _label_noise,
}
