"""Curves as tools log them: the same training looks different in Keras and in one's own loop."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from pack import Run
from stacked import rate_factor

from pipeline.diagnosis.learned.numbers import Curves

Logged = dict[str, np.ndarray | None]


def keras(run: Run, dice: random.Random) -> Logged:
    """Means over the epoch's steps with dropout on and the penalty in the loss; four digits."""
    return {
        "train_loss": np.round(run.curves["objective"], 4),
        "train_accuracy": np.round(run.curves["train_accuracy"], 4),
        "val_loss": np.round(run.curves["val_loss"], 4),
        "val_accuracy": np.round(run.curves["val_accuracy"], 4),
    }


def evaluated(run: Run, dice: random.Random) -> Logged:
    """Both parts measured in the same way after the epoch."""
    return {
        "train_loss": run.curves["eval_loss"],
        "train_accuracy": run.curves["eval_accuracy"],
        "val_loss": run.curves["val_loss"],
        "val_accuracy": run.curves["val_accuracy"],
    }


def losses(run: Run, dice: random.Random) -> Logged:
    """A loop of one's own: two losses."""
    return {"train_loss": run.curves["train_loss"], "val_loss": run.curves["val_loss"]}


def no_training_accuracy(run: Run, dice: random.Random) -> Logged:
    """As fastai, timm, the Hugging Face trainer and most Lightning modules log."""
    return {
        "train_loss": run.curves["train_loss"],
        "val_loss": run.curves["val_loss"],
        "val_accuracy": run.curves["val_accuracy"],
    }


def steps(run: Run, dice: random.Random) -> Logged:
    """The training loss of single steps, averaged between two validations."""
    epochs = len(run.curves["val_loss"])
    singles = run.step_losses[: max(1, round(len(run.step_losses)))]
    parts = np.array_split(singles, epochs) if len(singles) >= epochs else None
    means = run.curves["train_loss"] if parts is None else np.array([p.mean() for p in parts])
    return {
        "train_loss": means,
        "val_loss": run.curves["val_loss"],
        "val_accuracy": run.curves["val_accuracy"],
    }


def every_few(run: Run, dice: random.Random) -> Logged:
    """Few validations, four to ten, with the mean training loss since the last one."""
    epochs = len(run.curves["val_loss"])
    every = max(1, epochs // dice.randint(4, 10))
    picked = np.arange(every - 1, epochs, every)
    means = {
        name: np.array([run.curves[name][i - every + 1 : i + 1].mean() for i in picked])
        for name in ("train_loss", "train_accuracy")
    }
    validated = {name: run.curves[name][picked] for name in ("val_loss", "val_accuracy")}
    if dice.random() < 0.5:
        del means["train_accuracy"]
    return {**means, **validated}


def resumed(logged: Logged, dice: random.Random) -> Logged:
    """The log begins late, as after a restart or with weights that were trained before."""
    points = len(logged["val_loss"])  # type: ignore[arg-type]
    start = min(dice.randint(1, max(1, round(0.6 * points))), max(points - 4, 0))
    return {name: y[start:] for name, y in logged.items() if y is not None}


RESUMED = 0.15  # of the logs
WAYS: dict[str, Callable[[Run, random.Random], Logged]] = {
    way.__name__: way for way in (keras, evaluated, losses, no_training_accuracy, steps, every_few)
}
OFTEN = ("keras", "keras", "keras", "evaluated", "losses", "no_training_accuracy",
         "no_training_accuracy", "steps", "every_few", "every_few")  # fmt: skip


def _rates(run: Run, points: int) -> np.ndarray:
    """The learning rate at the end of each point."""
    schedule, epochs = run.settings["schedule"], run.settings["epochs"]
    length = len(run.curves["val_loss"]) / points  # epochs a point, roughly where it began late
    ends = [min(1.0, (point + 1) * length / epochs) for point in range(points)]
    return run.settings["rate"] * np.array([rate_factor(schedule, end) for end in ends])


def logged(run: Run, *, key: str, rate: bool = False) -> Curves:
    """Return a run's curves in a way that is drawn from its case, its seed and a key.

    rate: with the learning rate of each epoch. A loss that was lost is infinite.
    """
    dice = random.Random(f"{run.case} {run.settings['seed']} {key}")
    found = WAYS[dice.choice(OFTEN)](run, dice)
    if dice.random() < RESUMED:
        found = resumed(found, dice)
    curves: dict[str, np.ndarray | None] = {}
    for name, values in found.items():
        if values is None or (np.isnan(values).all() and "accuracy" in name):
            continue
        values = values.astype(np.float64)
        if "loss" in name:
            values = np.where(np.isfinite(values), values, np.inf)
        curves[name] = values
    if rate:
        curves["learning_rate"] = _rates(run, len(curves["val_loss"]))
    return Curves(**curves)
