"""A comparison of several runs: one picture of one measure, and a table of how the runs ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from pipeline.diagnosis import History
from pipeline.diagnosis.history import CURVES
from pipeline.errors import DataError
from pipeline.reporting.run_lines import Line, Panel, plot
from pipeline.runs.compared import ComparedRun, RunGroup
from pipeline.runs.gradients import GradientMeasure, by_layer, by_time_step, first_to_last
from pipeline.runs.verdict import verdict_of

# Measured on the validation part and on the training part; both are drawn.
BOTH_PARTS = ("loss", "cross_entropy", "accuracy")
GRADIENTS, IN_TIME = "gradients", "time_gradients"
METRICS = (*BOTH_PARTS, *CURVES, GRADIENTS, IN_TIME)

_GRADIENT_MEASURES: dict[str, GradientMeasure] = {GRADIENTS: by_layer, IN_TIME: by_time_step}
_TITLES = {
    "loss": "Loss (nats)",
    "cross_entropy": "Cross-entropy (nats)",
    "accuracy": "Accuracy",
    "train/loss": "Training loss",
    "val/loss": "Validation loss",
    "train/cross_entropy": "Training cross-entropy (nats)",
    "val/cross_entropy": "Validation cross-entropy (nats)",
    "train/accuracy": "Training accuracy",
    "val/accuracy": "Validation accuracy",
    "train/objective": "Minimised objective, mean over the epoch",
    "learning_rate": "Learning rate",
}
_NEEDED = {
    GRADIENTS: "It comes from signals: train without signals=none.",
    IN_TIME: "It exists for recurrent networks in one direction, trained without signals=none.",
}
_ROOT_OF_WEIGHTS = "norm / \N{SQUARE ROOT}number of weights"


@dataclass(frozen=True)
class RunComparison:
    """A picture of several runs. left_out: labels of the runs that lack the metric."""

    figure: Figure
    left_out: tuple[str, ...]


def compare_runs(group: RunGroup, metric: str) -> RunComparison:
    """Draw one metric of all runs. metric: one of `METRICS`.

    Raises `DataError` where no run has the metric.
    """
    panels = _panels(group, metric)
    drawn = {line.name for line in panels[0].lines}
    if not drawn:
        raise DataError(_no_run_has_it(group, metric))
    left_out = [run.label for run in group.runs if run.label not in drawn]
    return RunComparison(
        figure=plot(panels, heading=group.heading), left_out=(*left_out, *group.missing)
    )


def comparison_table(group: RunGroup, metric: str) -> list[list[str]]:
    """Return the header and a row a run: how each run ended, with the weights that it kept.

    A metric of gradients adds the gradient at the first place relative to the last.
    """
    table = [
        [
            group.heading or "run",
            "train CE",
            "val CE",
            "val accuracy",
            "steps",
            "seconds",
            "verdict",
        ],
        *(_row(run) for run in group.runs),
    ]
    if metric in _GRADIENT_MEASURES:
        table[0].insert(1, "first/last gradient")
        for row, run in zip(table[1:], group.runs, strict=True):
            row.insert(1, _gradient_ratio(run, _GRADIENT_MEASURES[metric]))
    return table


def _panels(group: RunGroup, metric: str) -> list[Panel]:
    if metric == GRADIENTS:
        layers = "layer, from the pixels to the output"
        before = _gradient_lines(group, by_layer, moment=0)
        after = _gradient_lines(group, by_layer, moment=-1)
        return [
            Panel("Gradient before the first step", layers, before, ylabel=_ROOT_OF_WEIGHTS),
            Panel("Gradient after the last epoch", layers, after),
        ]
    if metric == IN_TIME:
        lines = _gradient_lines(group, by_time_step, moment=0)
        title = "Gradient of the state, before the first step"
        return [Panel(title, "time step (row of the image)", lines)]
    note = "dotted: training" if metric in BOTH_PARTS else ""
    share = metric.endswith("accuracy")
    return [Panel(_TITLES[metric], "epoch", _curves(group, metric), note=note, share=share)]


def _curves(group: RunGroup, metric: str) -> list[Line]:
    """A line for each run that has the metric; behind it the same on the training part."""
    both = metric in BOTH_PARTS
    main, behind = (f"val/{metric}", f"train/{metric}") if both else (metric, "")
    histories = [(run.label, run.history) for run in group.runs if main in run.history.curves]
    return [
        Line(label, history.epochs + 1.0, history.curves[main], history.curves.get(behind))
        for label, history in histories
    ]


def _gradient_lines(group: RunGroup, measure: GradientMeasure, *, moment: int) -> list[Line]:
    """A line for each run that has the measure. moment: 0 is the first of training, -1 the last."""
    lines = []
    for run in group.runs:
        values = measure(run.history.signals) if run.history.signals else None
        if values is not None:
            y = values[moment]
            lines.append(Line(run.label, np.arange(1.0, len(y) + 1), y))
    return lines


def _no_run_has_it(group: RunGroup, metric: str) -> str:
    curves = sorted({name for run in group.runs for name in run.history.curves})
    way_out = _NEEDED.get(metric, f"They have {', '.join(curves)}.")
    return f"metric={metric}: no run of {group.name} has it. {way_out}"


def _row(run: ComparedRun) -> list[str]:
    history = run.history
    kept = history.context.kept_epoch
    place = int(np.flatnonzero(history.epochs == kept)[0]) if kept in history.epochs else -1
    return [
        run.label,
        _number(history, "train/cross_entropy", place),
        _number(history, "val/cross_entropy", place),
        _number(history, "val/accuracy", place),
        str(run.steps),
        f"{run.seconds:.1f}",
        _verdict(run),
    ]


def _number(history: History, name: str, place: int) -> str:
    value = float(history.curves[name][place]) if name in history.curves else math.nan
    if not math.isfinite(value):
        return "-"
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4g}"


def _verdict(run: ComparedRun) -> str:
    if run.diverged:
        return "diverged"
    diagnosis = verdict_of(run.history)
    return diagnosis.verdict.replace("_", " ") if diagnosis else "-"


def _gradient_ratio(run: ComparedRun, measure: GradientMeasure) -> str:
    """The share of the gradient that arrives at the far end, before the first step."""
    values = measure(run.history.signals) if run.history.signals else None
    ratio = None if values is None else first_to_last(values)
    return "-" if ratio is None else f"{ratio:.2g}"
