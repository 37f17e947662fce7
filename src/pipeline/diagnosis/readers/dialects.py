"""What single tools mean by their names, where the words alone would mislead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.diagnosis.readers.names import (
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    VAL_ACCURACY,
    VAL_LOSS,
    has_part,
    plain,
    role_of,
)

_BOUNDS = ("__MIN", "__MAX")
_BOOSTING = re.compile(
    r"^(?P<set>[\w .]+?)(?:[-/]|'s |(?<=^training) |(?<=^valid_\d) )(?P<metric>[A-Za-z_0-9]+)"
    r"(?:@[\d.]+)?$"
)
_BOOSTING_LOSSES = (
    *("mlogloss", "logloss", "multi_logloss", "binary_logloss", "cross_entropy", "softmax"),
    *("rmse", "l2", "mae", "l1", "rmsle", "mape", "huber", "quantile", "poisson", "tweedie"),
    *("deviance", "RMSE", "MAE", "Logloss", "MultiClass", "CrossEntropy"),
)
_BOOSTING_ERRORS = ("merror", "error", "multi_error", "binary_error")
_TRAIN_SETS = {"train", "training", "learn", "dtrain", "train_set", "trainset"}
_DETECTION = re.compile(
    r"^(train|val)/(box|cls|dfl|obj|seg|pose|kobj|giou|l1)_(?:loss|om)$", re.IGNORECASE
)


@dataclass
class Dialect:
    """How the names of one file are to be read.

    aliases: name → the name to read it by; an empty one leaves the column out.
    sums: curve → columns whose sum it is.  boosting: of trees, whose training loss is no mean.
    complement: aliases of error rates.  notes: what a person should know.
    """

    aliases: dict[str, str]
    sums: dict[str, list[str]] = field(default_factory=dict)
    complement: set[str] = field(default_factory=set)
    boosting: bool = False
    notes: list[str] = field(default_factory=list)
    several_runs: list[str] = field(default_factory=list)


def dialect_of(names: Iterable[str]) -> Dialect:
    """Return how to read these names: of W&B, boosted trees, Ultralytics and fastai."""
    dialect = Dialect({name: name for name in names})
    _weights_and_biases(dialect)
    _boosting(dialect)
    _ultralytics(dialect)
    _fastai(dialect)
    return dialect


def _weights_and_biases(dialect: Dialect) -> None:
    """``glad-sun-3 - train_loss`` is train_loss of a run; __MIN and __MAX are its bounds."""
    for name in dialect.aliases:
        if name.endswith(_BOUNDS):
            dialect.aliases[name] = ""
        elif " - " in name:
            dialect.aliases[name] = name.rsplit(" - ", 1)[1]
    charted = [n for n, alias in dialect.aliases.items() if " - " in n and alias and role_of(alias)]
    twice = [
        n for n in charted if sum(dialect.aliases[n] == dialect.aliases[m] for m in charted) > 1
    ]
    for name in twice:
        dialect.aliases[name] = ""
    dialect.several_runs = twice


def _boosting(dialect: Dialect) -> None:
    """``validation_0-mlogloss`` and ``training's multi_logloss``: a set and a metric."""
    found = {n: m for n, alias in dialect.aliases.items() if (m := _BOOSTING.match(alias))}
    if not found and {"learn", "test"} <= set(dialect.aliases):
        dialect.aliases.update(learn=TRAIN_LOSS, test=VAL_LOSS)
        dialect.boosting = True
        return
    sets = list(dict.fromkeys(m["set"] for m in found.values() if _is_boosting_metric(m["metric"])))
    metrics = [m["metric"] for m in found.values()]
    loss = next((x for x in _BOOSTING_LOSSES if x in metrics), None)
    error = next((x for x in _BOOSTING_ERRORS if x in metrics), None)
    if not sets or any(role_of(n) and _has_plain_loss(n) for n in dialect.aliases):
        return
    train, val = _train_and_val(sets)
    for name, match in found.items():
        part = {train: "train", val: "val"}.get(match["set"])
        if part and match["metric"] in (loss, error):
            quantity = "loss" if match["metric"] == loss else "accuracy"
            dialect.aliases[name] = f"{part}/{quantity}"
            if quantity == "accuracy":
                dialect.complement.add(name)
        elif _is_boosting_metric(match["metric"]):
            dialect.aliases[name] = ""
    dialect.boosting = True


def _is_boosting_metric(metric: str) -> bool:
    return metric in _BOOSTING_LOSSES or metric in _BOOSTING_ERRORS


def _has_plain_loss(name: str) -> bool:
    role = role_of(name)
    return role is not None and role.curve.endswith("loss") and role.rank < 20


def _train_and_val(sets: Sequence[str]) -> tuple[str | None, str | None]:
    """The training set by its name, else XGBoost's first of two; the next set is validation."""
    train = next((s for s in sets if s.strip().lower() in _TRAIN_SETS), None)
    if train is None and len(sets) > 1 and not sets[0].startswith("valid_"):
        train = sets[0]
    return train, next((s for s in sets if s != train), None)


def _ultralytics(dialect: Dialect) -> None:
    """The loss of detection is a sum of parts; metrics/accuracy_top1 is of validation."""
    plain_names = {plain(name): name for name in dialect.aliases}
    if "metricsaccuracytop1" in plain_names:
        dialect.aliases[plain_names["metricsaccuracytop1"]] = VAL_ACCURACY
    for part, curve in (("train", TRAIN_LOSS), ("val", VAL_LOSS)):
        parts = [n for n in dialect.aliases if (m := _DETECTION.match(n)) and m[1].lower() == part]
        total = any((role := role_of(a)) and role.curve == curve for a in dialect.aliases.values())
        if parts and not total:
            dialect.sums[curve] = parts


def _fastai(dialect: Dialect) -> None:
    """A lone ``accuracy`` beside ``train_loss`` and ``valid_loss`` is of validation."""
    roles = {n: role for n, alias in dialect.aliases.items() if (role := role_of(alias))}
    curves = {role.curve for role in roles.values()}
    named = [n for n, role in roles.items() if role.curve == TRAIN_LOSS]
    lone = [n for n, r in roles.items() if r.curve == TRAIN_ACCURACY and not has_part(n)]
    if VAL_LOSS not in curves or VAL_ACCURACY in curves or len(lone) != 1:
        return
    if named and all(has_part(name) == "train" for name in named):
        accuracies = [n for n, role in roles.items() if role.curve == TRAIN_ACCURACY]
        if len(accuracies) == 1:
            complement = roles[lone[0]].complement
            dialect.aliases[lone[0]] = "val error rate" if complement else VAL_ACCURACY
