"""The stage ``compare``: several runs → one picture of one measure, and a table of how they ended."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import nearest
from pipeline.config.experiment import safe_name
from pipeline.diagnosis import History
from pipeline.diagnosis.history import CURVES
from pipeline.errors import ConfigError, DataError
from pipeline.records import SignalRecord
from pipeline.reporting.run_lines import Line, Panel, plot
from pipeline.reporting.style import save_png
from pipeline.stages.compared_runs import ComparedRun, Group, multirun, named_runs
from pipeline.stages.diagnose import verdict_of
from pipeline.sweep.analysis import read_study

# Beside the curves of a history.
BOTH_PARTS = ("loss", "cross_entropy", "accuracy")
GRADIENTS, IN_TIME = "gradients", "time_gradients"
METRICS = (*BOTH_PARTS, *CURVES, GRADIENTS, IN_TIME)
DEFAULT_METRIC = "val/loss"
_DIVERGED = "diverged"
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
    "train/objective": "What was minimised, mean over the epoch",
    "learning_rate": "Learning rate",
}


@dataclass(frozen=True)
class Options:
    """What a command line asks for. Exactly one of study, names and folder is given."""

    study: str = ""
    names: tuple[str, ...] = ()
    folder: str = ""
    metric: str = DEFAULT_METRIC
    storage: str = ""


def group_of(options: Options, *, storage: str, root: Path) -> Group:
    """Find the runs that the options name.

    storage: of studies, where the options name none. Raises `DataError`, `SweepError` or `SpaceError` where
    there are none.
    """
    if options.names:
        return named_runs(options.names, root=root)
    if options.study:
        record = read_study(options.storage or storage, options.study)
        return multirun(record.folder, name=safe_name(record.name), root=root)
    folder = Path(options.folder)
    return multirun(folder, name=safe_name("_".join(folder.parts[-2:])), root=root)


def compare(group: Group, *, metric: str, root: Path) -> Path:
    """Draw the runs' ``metric``, print the table; return the picture, ``results/compare/<name>/<metric>.png``.

    metric: one of `METRICS`.  Runs that lack it are told and left out.
    Raises `DataError` where no run has it; nothing is written then.
    """
    panels = _panels(group, metric)
    picture = root / "results" / "compare" / group.name / f"{metric.replace('/', '_')}.png"
    figure = plot(panels, heading=group.heading)
    save_png(figure, picture)
    _tell(group, metric)
    drawn = {line.name for line in panels[0].lines}
    left_out = [*(run.label for run in group.runs if run.label not in drawn), *group.missing]
    if left_out:
        print(f"left out, without {metric}: {', '.join(left_out)}")
    if _different_losses(group) and metric.endswith("loss"):
        print(
            f"these runs minimise different losses: compare metric={metric.replace('loss', 'cross_entropy')}"
        )
    print(f"picture: {picture.relative_to(root)}")
    return picture


def _panels(group: Group, metric: str) -> list[Panel]:
    if metric == GRADIENTS:
        found = [
            Panel(
                f"Gradient {when}",
                "layer, from the pixels to the output",
                _measured(group, by_layer, moment),
                ylabel="" if moment else "norm / \N{SQUARE ROOT}number of weights",
            )
            for when, moment in (("before the first step", 0), ("after the last epoch", -1))
        ]
    elif metric == IN_TIME:
        lines = _measured(group, by_time_step, 0)
        found = [Panel("Gradient of the state, before the first step", "time step (row of the image)", lines)]
    else:
        note = "dotted: training" if metric in BOTH_PARTS else ""
        title, share = _TITLES[metric], metric.endswith("accuracy")
        found = [Panel(title, "epoch", _curves(group, metric), note=note, share=share)]
    if not found[0].lines:
        raise DataError(_nothing(group, metric))
    return found


def _nothing(group: Group, metric: str) -> str:
    told = {
        GRADIENTS: "It comes from signals: train without signals=none.",
        IN_TIME: "It exists for recurrent networks in one direction, trained without signals=none.",
    }
    having = ", ".join(sorted({name for run in group.runs for name in run.history.curves}))
    return f"metric={metric}: no run of {group.name} has it. {told.get(metric, f'They have {having}.')}"


def _curves(group: Group, metric: str) -> list[Line]:
    main = f"val/{metric}" if metric in BOTH_PARTS else metric
    behind = f"train/{metric}" if metric in BOTH_PARTS else ""
    return [
        Line(run.label, run.history.epochs + 1.0, run.history.curves[main], run.history.curves.get(behind))
        for run in group.runs
        if main in run.history.curves
    ]


def _measured(group: Group, measure: Callable[[SignalRecord], np.ndarray | None], moment: int) -> list[Line]:
    """A line for each run that has the measure, at the first (0) or last (-1) moment of its training."""
    found = []
    for run in group.runs:
        values = measure(run.history.signals) if run.history.signals else None
        if values is not None:
            y = values[moment]
            found.append(Line(run.label, np.arange(1.0, len(y) + 1), y))
    return found


def by_layer(signals: SignalRecord) -> np.ndarray | None:
    """Gradient norm of each layer per root of its weights ``[E, L]``, so that layers of all sizes compare."""
    if "layers/gradient_norm" not in signals.arrays or not json.loads(signals.metadata["layers"]):
        return None
    norms = signals.arrays["layers/gradient_norm"].astype(np.float64)
    return np.asarray(norms / np.sqrt(signals.arrays["layers/num_weights"]))


def by_time_step(signals: SignalRecord) -> np.ndarray | None:
    """Norm of the loss's gradient by the state at each time step ``[E, T]``."""
    values = signals.arrays.get("time_step/gradient_norm")
    return None if values is None or values.shape[1] == 0 else values.astype(np.float64)


def _different_losses(group: Group) -> bool:
    known = [run.history.context.settings for run in group.runs if run.history.context.settings]
    return len({settings["loss"]["name"] for settings in known}) > 1


def _tell(group: Group, metric: str) -> None:
    heads = [group.heading or "run", "train CE", "val CE", "val accuracy", "steps", "seconds", "verdict"]
    if metric in (GRADIENTS, IN_TIME):
        heads.insert(1, "first/last gradient")
    rows = [_row(run, metric) for run in group.runs]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print("CE: cross-entropy in nats, of the weights that are kept")


def _row(run: ComparedRun, metric: str) -> list[str]:
    history, found = run.history, verdict_of(run.history)
    kept = history.context.kept_epoch
    at = int(np.flatnonzero(history.epochs == kept)[0]) if kept in history.epochs else -1
    cells = [
        run.label,
        _number(history, "train/cross_entropy", at),
        _number(history, "val/cross_entropy", at),
        _number(history, "val/accuracy", at),
        str(run.steps),
        f"{run.seconds:.1f}",
        _DIVERGED if _diverged(history) else found.verdict.replace("_", " ") if found else "-",
    ]
    if metric in (GRADIENTS, IN_TIME):
        cells.insert(1, _ratio(history.signals, by_layer if metric == GRADIENTS else by_time_step))
    return cells


def _diverged(history: History) -> bool:
    ends = [v[-1] for k, v in history.curves.items() if k in ("train/objective", "train/loss", "val/loss")]
    return bool(ends) and not np.all(np.isfinite(ends))


def _number(history: History, name: str, at: int) -> str:
    value = float(history.curves[name][at]) if name in history.curves else math.nan
    if not math.isfinite(value):
        return "-"
    return f"{value:.2%}" if name.endswith("accuracy") else f"{value:.4g}"


def _ratio(signals: SignalRecord | None, measure: Callable[[SignalRecord], np.ndarray | None]) -> str:
    """How much of the gradient is left at the far end, before the first step."""
    values = measure(signals) if signals else None
    if values is None or not values[0][-1] > 0:
        return "-"
    return f"{values[0][0] / values[0][-1]:.2g}"


def parse(arguments: Sequence[str]) -> Options:
    """Return the options; raise `ConfigError` for what is unknown, or not exactly one source of runs."""
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            key, value = "folder", argument
        if key not in ("study", "names", "folder", "metric", "storage") or not value or key in given:
            raise ConfigError(
                f"{argument}: compare takes one multirun's folder, study=<name> or names=[<name>,<name>], and metric="
            )
        given[key] = value
    if sum(key in given for key in ("study", "names", "folder")) != 1:
        raise ConfigError(
            "compare: say once what to compare: study=<name as the sweep printed it>, names=[<model>,<model>], "
            "or the folder of a multirun."
        )
    metric = given.get("metric", DEFAULT_METRIC)
    if metric not in METRICS:
        raise ConfigError(f"metric={metric}: unknown{nearest(metric, METRICS)}")
    return Options(
        study=given.get("study", ""),
        names=_names(given["names"]) if "names" in given else (),
        folder=given.get("folder", ""),
        metric=metric,
        storage=given.get("storage", ""),
    )


def _names(value: str) -> tuple[str, ...]:
    names = [name.strip() for name in value.strip("[]").split(",") if name.strip()]
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)]
    if odd or len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(
            f"names={value}: must list two models or more, each once, for example names=[mlp,cnn]"
        )
    return tuple(names)
