"""Histories made by hand, each with one fault, beside a healthy twin."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pipeline.diagnosis import Context, History
from pipeline.records import Baseline, SignalRecord

N, EPOCHS, LAYERS = 1000, 12, 4
BASELINES = {
    "logistic_regression": Baseline(0.90, 0.40, 4000),
    "random_features": Baseline(0.93, 0.25, 4000),
}


def losses_around(means: np.ndarray, *, seed: int) -> np.ndarray:
    """Per-example losses ``[len(means), N]``: the same easy and hard examples at every moment."""
    hardness = np.random.default_rng(seed).exponential(size=N)
    return (means[:, None] * hardness / hardness.mean()).astype(np.float32)


def history(
    *,
    train: np.ndarray | None = None,
    val: np.ndarray | None = None,
    train_wrong: float = 0.04,
    val_wrong: float = 0.06,
    kept_epoch: int | None = None,
    settings: dict[str, Any] | None = None,
    signals: bool = True,
    **arrays: Any,
) -> History:
    """A healthy run of twelve epochs, with whatever is given in its place.

    train, val: mean losses ``[E]`` by epoch.
    arrays: signals to replace, with ``/`` written ``__``.
    """
    steps = np.arange(EPOCHS)
    train = np.array(0.16 + 1.2 * np.exp(-0.8 * steps)) if train is None else train
    val = np.array(0.20 + 1.1 * np.exp(-0.8 * steps)) if val is None else val
    count = len(train)
    wrong = {"train": train_wrong, "val": val_wrong}
    curves = {
        "train/loss": train,
        "val/loss": val,
        "train/cross_entropy": train,
        "val/cross_entropy": val,
        "train/objective": 1.3 * train,
        "learning_rate": np.full(count, 1e-3),
        **{f"{part}/accuracy": np.full(count, 1 - wrong[part]) for part in wrong},
    }
    start = np.log(10) * 1.1
    found: dict[str, np.ndarray] = {
        "epochs": np.arange(-1, count),
        "layers/num_weights": np.array([10_000] * LAYERS),
        "layers/weight_norm": np.full((count + 1, LAYERS), 10.0)
        * np.linspace(1, 1.3, count + 1)[:, None],
        "layers/gradient_norm": np.full((count + 1, LAYERS), 0.1),
        "layers/last_update_ratio": np.full((count + 1, LAYERS), 3e-3),
        "units/dead": np.zeros((count + 1, LAYERS - 1)),
        "units/num_units": np.full(LAYERS - 1, 100),
        "penalty_gradient_share": np.zeros(count + 1),
        "train/loss_per_example": losses_around(np.append(start, train), seed=0),
        "val/loss_per_example": losses_around(np.append(start, val), seed=1),
        "train/correct": np.arange(N)[None] >= np.full((count + 1, 1), wrong["train"] * N),
        "val/correct": np.arange(N)[None] >= np.full((count + 1, 1), wrong["val"] * N),
    }
    found |= {key.replace("__", "/"): np.asarray(value) for key, value in arrays.items()}
    names = [f"layer{i}" for i in range(LAYERS)]
    metadata = {
        "layers": json.dumps(names),
        "activations": json.dumps(
            [{"name": f"relu{i}", "kind": "relu", "layer": n} for i, n in enumerate(names[:-1])]
        ),
        "num_classes": "10",
    }
    return History(
        epochs=np.arange(count),
        curves=curves,
        signals=SignalRecord(found, metadata) if signals else None,
        context=Context(
            num_classes=10,
            prior_entropy=float(np.log(10)),
            baselines=BASELINES,
            num_val=N,
            kept_epoch=kept_epoch,
            settings=settings or {},
        ),
        name="planted",
    )


def _steady(value: float, *, count: int = EPOCHS) -> np.ndarray:
    return np.full(count, value)


def _rows(first: list[float], later: list[float]) -> np.ndarray:
    return np.array([first, *[later] * EPOCHS])


_FALLING = np.linspace(2.2, 2.15, EPOCHS)
_ALIVE, _GONE = [0.0] * (LAYERS - 1), [0.95] * (LAYERS - 1)
_STEPS = np.arange(EPOCHS)

FAULTS: dict[str, dict[str, Any]] = {
    "overfitting": {
        "train": 0.3 * np.exp(-0.5 * _STEPS),
        "val": 0.25 + 0.02 * np.maximum(_STEPS - 3, 0),
        "train_wrong": 0.0,
    },
    "underfitting": {
        "train": _steady(1.1),
        "val": _steady(1.12),
        "train_wrong": 0.4,
        "val_wrong": 0.41,
    },
    "undertrained": {
        "train": 1.6 * np.exp(-0.2 * _STEPS),
        "val": 1.65 * np.exp(-0.2 * _STEPS),
        "train_wrong": 0.1,
        "val_wrong": 0.1,
    },
    "over_regularized": {
        "train": _steady(0.9),
        "val": _steady(0.92),
        "train_wrong": 0.2,
        "val_wrong": 0.21,
        "penalty_gradient_share": np.full(EPOCHS + 1, 0.4),
    },
    "learning_rate_too_high": {
        "train": np.where(_STEPS % 2, 0.6, 0.9),
        "val": np.where(_STEPS % 2, 0.65, 0.95),
        "train_wrong": 0.2,
        "val_wrong": 0.2,
    },
    "learning_rate_too_low": {
        "train": _FALLING,
        "val": _FALLING + 0.01,
        "train_wrong": 0.6,
        "val_wrong": 0.6,
        "layers__last_update_ratio": np.full((EPOCHS + 1, LAYERS), 3e-5),
    },
    "vanishing_gradients": {
        "train": _FALLING,
        "val": _FALLING + 0.01,
        "train_wrong": 0.6,
        "val_wrong": 0.6,
        "layers__gradient_norm": np.tile([1e-6, 1e-4, 1e-2, 1e-1], (EPOCHS + 1, 1)),
    },
    "exploding_gradients": {
        "train": np.linspace(900, 40, EPOCHS),
        "val": np.linspace(950, 60, EPOCHS),
        "train_wrong": 0.3,
        "val_wrong": 0.35,
        "train__loss_per_example": losses_around(
            np.append(2000.0, np.linspace(900, 40, EPOCHS)), seed=0
        ),
        "val__loss_per_example": losses_around(
            np.append(2000.0, np.linspace(950, 60, EPOCHS)), seed=1
        ),
    },
    "dead_units": {
        "train": _steady(1.5),
        "val": _steady(1.52),
        "train_wrong": 0.5,
        "val_wrong": 0.5,
        "units__dead": _rows(_GONE, _GONE),
    },
    "not_learning": {
        "train": _steady(2.3),
        "val": _steady(2.32),
        "train_wrong": 0.9,
        "val_wrong": 0.9,
    },
    "label_noise": {
        "train": 1.4 - 0.02 * _STEPS,
        "val": _steady(0.5),
        "train_wrong": 0.3,
        "val_wrong": 0.06,
    },
}
