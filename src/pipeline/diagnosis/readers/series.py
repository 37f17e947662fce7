"""A table of named columns → a `History`, and what was read as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.readers.columns import Column, Table, merged
from pipeline.diagnosis.readers.curves import Chosen, chosen
from pipeline.diagnosis.readers.names import LEARNING_RATE
from pipeline.diagnosis.readers.reading import Reading
from pipeline.diagnosis.readers.spread import spread
from pipeline.diagnosis.readers.timeline import (
    Axes,
    axes_of,
    equal_blocks,
    keys_of,
    last_in_each,
    last_session,
    mean_in_each,
)

Points = Sequence[tuple[float, float]]
Curves = Mapping[str, Column]

MOST_BLOCKS = 200
# More points than these become blocks too: no training is validated so often.
MOST_POINTS = 2_000
MOST_OTHERS = 200
_TRAIN = ("train/loss", "train/cross_entropy", "train/accuracy", "train/objective")
_VAL = ("val/loss", "val/cross_entropy", "val/accuracy")
# From so many points on, a training loss without epochs and steps is one by step.
_SURELY_STEPS = 1_000


def history_of(columns: Mapping[str, Points], *, context: Context, name: str) -> History:
    """Make a history of ``{name: [(epoch or step, value), …]}``, each in any order.

    Raises `DataError` where no name is known.
    """
    tables = []
    for column, points in columns.items():
        if len(points):
            steps, values = np.array(sorted(points, key=lambda p: p[0]), dtype=np.float64).T
            rows = np.arange(len(points))
            step, value = Column(rows, steps), Column(rows, values)
            tables.append(("", Table({"step": step, column: value}, len(points), "events")))
    table = merged(tables, "step") if tables else Table({}, 0, "events")
    return reading_of(table, context=context, name=name).history


def reading_of(
    table: Table, *, context: Context, name: str, named: Mapping[str, str] | None = None
) -> Reading:
    """Make a history of a table. The points of validation are its epochs.

    The training loss of such an epoch is the mean of the step losses since the one before. Without
    validation the points of the training loss are the epochs; a long log by step is cut into at
    most `MOST_BLOCKS` blocks of equal size.

    named: curve → column, where the person says which.
    Raises `DataError` where no name is known, a column is missing, or a used cell is no number.
    """
    picked = chosen(table, name=name, named=named or {})
    table, curves, placing = _in_one_time(table, _with_lost_losses(picked.curves))
    axes = axes_of(table)
    table, curves, session = _of_last_session(table, curves, axes)
    clock = _Clock.of(curves, axes, table.num_rows)
    placed, extra = _without_extra_validation(
        {curve: clock.placed(column, curve) for curve, column in curves.items()}, clock, curves
    )
    num_points = len(next(iter(placed.values())))
    history = History(
        epochs=clock.numbers[:num_points],
        curves=placed,
        context=replace(
            context,
            train_curve=picked.train_curve(clock.by_step),
            train_by_step=clock.by_step,
        ),
        name=name,
    )
    others = {n: v[:num_points] for n, v in _others(table, axes, picked, clock).items()}
    notes = [*table.notes, *picked.notes, placing, session, extra, clock.late(curves)]
    span = clock.span(num_points, curves)
    return Reading(history, picked.words, others, span, tuple(note for note in notes if note))


def _with_lost_losses(curves: Curves) -> Curves:
    """Write a loss that was logged and is no number as infinite: later, NaN means not logged.

    A NaN before the first number of a loss was not measured.
    """
    return {
        name: column
        if name.endswith("accuracy") or name == LEARNING_RATE
        else replace(column, values=_lost_as_infinite(column.values))
        for name, column in curves.items()
    }


def _lost_as_infinite(loss: np.ndarray) -> np.ndarray:
    finite = np.flatnonzero(np.isfinite(loss))
    after = np.arange(len(loss)) > (finite[0] if len(finite) else -1)
    return np.where(np.isnan(loss) & after, np.inf, loss)


# --- one order of time ----------------------------------------------------------------------------


def _in_one_time(table: Table, curves: Curves) -> tuple[Table, dict[str, Column], str]:
    if not table.independent and _two_clocks(table, curves):
        ranked = {n: replace(c, rows=np.arange(len(c.rows))) for n, c in table.columns.items()}
        table = replace(table, columns=ranked, independent=True)
        curves = {n: replace(c, rows=np.arange(len(c.rows))) for n, c in curves.items()}
        table, placed, _ = spread(table, curves)
        return table, placed, "validation by epoch, training by step"
    return spread(table, curves) if table.independent else (table, dict(curves), "")


def _two_clocks(table: Table, curves: Curves) -> bool:
    """Whether validation counts epochs while training counts steps, in a log of events."""
    axis, train = table.columns.get("step"), curves.get("train/loss")
    val = curves.get("val/loss", curves.get("val/accuracy"))
    if table.kind != "events" or axis is None or train is None or val is None:
        return False
    steps, epochs = axis.values[train.rows], axis.values[val.rows]
    counted = len(epochs) > 1 and epochs[0] in (0, 1) and bool(np.all(np.diff(epochs) == 1))
    return counted and len(steps) > 2 * len(epochs) and steps[-1] > 5 * epochs[-1]


def _of_last_session(
    table: Table, curves: Curves, axes: Axes
) -> tuple[Table, dict[str, Column], str]:
    rows = np.unique(np.concatenate([column.rows for column in curves.values()]))
    axis = axes.step if axes.epoch is None else axes.epoch
    kept, sessions, resumed = last_session(axis, rows, table.restarts, list(curves.values()))
    if np.all(kept):
        return table, dict(curves), ""
    inside = np.arange(table.num_rows) >= rows[kept][0]
    inside[rows[~kept]] = False
    told = f"{sessions} sessions stand in it, and the last is read" if sessions > 1 else ""
    if resumed:
        told += f"{', ' if told else ''}resumed: later rows replace those of the same epochs"
    left = {name: _rows_of(column, inside) for name, column in curves.items()}
    columns = {name: _rows_of(column, inside) for name, column in table.columns.items()}
    return (
        replace(table, columns={n: c for n, c in columns.items() if len(c.rows)}),
        {name: column for name, column in left.items() if len(column.rows)},
        told,
    )


def _rows_of(column: Column, inside: np.ndarray) -> Column:
    mask = inside[column.rows]
    return replace(column, rows=column.rows[mask], values=column.values[mask])


# --- the points of the history --------------------------------------------------------------------


class _Clock:
    """The points of a history in time, and what falls between them.

    times: of each row of the table.  ends: of the points.  numbers: their epochs, 0-based.
    """

    def __init__(self, times: np.ndarray, ends: np.ndarray, numbers: np.ndarray) -> None:
        self.times, self.ends, self.numbers = times, ends, numbers
        self.by_step = False
        self.validated = False
        self.in_blocks = False

    @classmethod
    def of(cls, curves: Curves, axes: Axes, num_rows: int) -> _Clock:
        """Take the points of validation; those of training where there is none, or only one."""
        train, val = _largest(curves, _TRAIN), _largest(curves, _VAL)
        validated = val is not None and (len(val.rows) > 1 or train is None or len(train.rows) < 2)
        points = val if val is not None and validated else train
        if points is None:  # a learning rate alone is refused before
            points = next(iter(curves.values()))
        times, kind = keys_of(axes, num_rows, points.rows, by_step=not validated)
        ends = np.sort(times[points.rows])
        by_epoch = _epoch_wise(train, axes)
        if validated:
            ends = _with_a_lost_end(ends, train, times)
            by_step = train is not None and not by_epoch and _crowded(ends, times[train.rows])
        else:
            by_step = not by_epoch and _is_by_step(ends, kind)
        in_blocks = len(ends) > (MOST_BLOCKS if by_step and not validated else MOST_POINTS)
        ends = equal_blocks(ends, MOST_BLOCKS) if in_blocks else ends
        whole_epochs = not in_blocks and (validated or not by_step)
        clock = cls(times, ends, _numbers(ends, kind if whole_epochs else "row"))
        clock.by_step, clock.validated, clock.in_blocks = by_step, validated, in_blocks
        return clock

    def placed(self, column: Column, curve: str) -> np.ndarray:
        """Return the values of a curve at the points ``[E]``."""
        times, values = self._sorted(column)
        if curve == LEARNING_RATE and len(values) == 1:
            return np.full(len(self.ends), values[0])
        if self.in_blocks and (self.validated or not curve.startswith("val/")):
            return mean_in_each(self.ends, times, values)
        if curve.startswith("val/"):
            if self.validated and len(values) == len(self.ends):
                return values
            times = times if self.validated else np.minimum(times, self.ends[-1])
        if self.by_step and curve.startswith("train/"):
            return mean_in_each(self.ends, times, values)
        return last_in_each(self.ends, times, values)

    def span(self, num_points: int, curves: Curves) -> str:
        """Return the length in words."""
        train = _largest(curves, _TRAIN)
        if self.in_blocks:
            points = train if train is not None else _largest(curves, _VAL)
            size = max(round(len(points.rows) / num_points), 1) if points is not None else 1
            unit = "values by step" if self.by_step else "values"
            return f"{num_points} blocks, each the mean of {size} {unit}"
        if not self.by_step or train is None:
            return f"{num_points} {'epoch' if num_points == 1 else 'epochs'}"
        steps = max(round(len(train.rows) / max(num_points, 1)), 1)
        if self.validated:
            return f"{num_points} validation points, training is the mean of about {steps} values"
        return f"{num_points} points by step"

    def late(self, curves: Curves) -> str:
        """Return a note on training values after the last point; empty without any."""
        train = _largest(curves, _TRAIN)
        late = 0 if train is None else int(np.sum(self.times[train.rows] > self.ends[-1]))
        noun = "value after the last validation is" if late == 1 else "values after it are"
        return f"{late} training {noun} left out" if late else ""

    def _sorted(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        times = self.times[column.rows]
        order = np.argsort(times, kind="stable")
        return times[order], column.values[order]


def _largest(curves: Curves, names: Sequence[str]) -> Column | None:
    """The curve with the most points, the first of equals."""
    there = [curves[name] for name in names if name in curves and len(curves[name].rows)]
    return max(there, key=lambda column: len(column.rows), default=None)


def _epoch_wise(train: Column | None, axes: Axes) -> bool:
    """Whether training has one value for each whole epoch."""
    if train is None or axes.epoch is None:
        return False
    epochs = axes.epoch[train.rows]
    return bool(np.all(epochs == np.round(epochs))) and len(np.unique(epochs)) == len(epochs)


def _is_by_step(ends: np.ndarray, kind: str) -> bool:
    """Whether the points of a training loss without validation are steps rather than epochs."""
    if kind == "row":
        return len(ends) > _SURELY_STEPS
    fractions = bool(np.any(ends != np.round(ends)))
    return fractions or len(ends) > _SURELY_STEPS or bool(np.any(np.diff(ends) > 1.5))


def _crowded(ends: np.ndarray, times: np.ndarray) -> bool:
    """Whether several training values fall between two points of validation."""
    index = np.searchsorted(ends, times, side="left")
    return bool(np.any(np.bincount(index[index < len(ends)], minlength=1) > 1))


def _with_a_lost_end(ends: np.ndarray, train: Column | None, times: np.ndarray) -> np.ndarray:
    """Add a point where the training loss stops being finite after the last validation."""
    if train is None:
        return ends
    lost = times[train.rows][~np.isfinite(train.values)]
    return np.append(ends, np.max(lost)) if len(lost) and np.max(lost) > ends[-1] else ends


def _numbers(ends: np.ndarray, kind: str) -> np.ndarray:
    """The epochs of the points, 0-based: the log's own where it counts from 0 or 1."""
    whole = kind == "epoch" and bool(np.all(ends == np.round(ends))) and ends[0] in (0, 1)
    if whole and ends[-1] < 2**53:
        numbers: np.ndarray = (ends - ends[0]).astype(np.int64)
        return numbers
    return np.arange(len(ends), dtype=np.int64)


def _without_extra_validation(
    placed: dict[str, np.ndarray], clock: _Clock, curves: Curves
) -> tuple[dict[str, np.ndarray], str]:
    """Leave out one validation at the end that no training value precedes.

    It measures the same weights again, or those of the best epoch.
    """
    train = _largest(curves, _TRAIN)
    if train is None or not clock.validated or len(clock.ends) < 3:
        return placed, ""
    times = np.sort(clock.times[train.rows])
    begin, last = clock.ends[-3], clock.ends[-2]
    if np.any(times > last) or not np.any((times > begin) & (times <= last)):
        return placed, ""
    shorter = {curve: values[:-1] for curve, values in placed.items()}
    return shorter, "a last validation without training before it is left out"


def _others(table: Table, axes: Axes, picked: Chosen, clock: _Clock) -> dict[str, np.ndarray]:
    """Every other column of numbers at the points, for the eye."""
    used = {name for names in picked.columns.values() for name in names}
    hidden = used | set(axes.names) | picked.left_out
    names = [name for name in table.columns if name and name not in hidden][:MOST_OTHERS]
    return {name: clock.placed(table.columns[name], name) for name in names}
