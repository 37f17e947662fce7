"""Which columns of a table are which curves, as shares and sums where they have to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from pipeline.diagnosis.history import CURVES, TrainCurve
from pipeline.diagnosis.readers.columns import Column, Table
from pipeline.diagnosis.readers.dialects import Dialect, dialect_of
from pipeline.diagnosis.readers.names import (
    OURS,
    TRAIN_LOSS,
    WORDS_OF,
    has_part,
    is_known,
    matched,
    plain,
    role_of,
)
from pipeline.errors import DataError

# Names by which tools that log a mean over the epoch's own steps are known.
_RUNNING = ("valid_loss", "eval_loss", "eval_top1", "test_acc1", "metrics/accuracy_top1")
_SINGLE = {"train/cross_entropy": TRAIN_LOSS, "val/cross_entropy": "val/loss"}


@dataclass
class Chosen:
    """The curves of a table.

    curves: curve → its numbers.  columns: curve → the columns that it is made of.
    words: the same for a person.  left_out: columns that stand beside another one, as bounds do.
    """

    curves: dict[str, Column] = field(default_factory=dict)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)
    measured: TrainCurve = "unknown"

    def add(self, curve: str, names: Sequence[str], column: Column, dress: str = "") -> None:
        """Add a curve, made of these columns."""
        self.curves[curve] = column
        self.columns[curve] = tuple(names)
        self.words[curve] = f"{' + '.join(names)}{dress}"

    def train_curve(self, by_step: bool) -> TrainCurve:
        """Return how the training curve was measured."""
        if self.measured == "evaluation" or not by_step:
            return self.measured
        return "running_mean"


def chosen(table: Table, *, name: str, named: Mapping[str, str]) -> Chosen:
    """Choose the columns of the curves.

    named: curve → column, where the person says which.
    Raises `DataError` where nothing is known, a named column is missing, or a cell is no number.
    """
    dialect = dialect_of(table.columns)
    picked = Chosen(notes=list(dialect.notes))
    for curve, typed in named.items():
        column = _named(table, dialect, typed, curve, name)
        _add_one(picked, table, curve, column, complement=False, strict=name)
    taken = {column for columns in picked.columns.values() for column in columns}
    for curve, parts in dialect.sums.items():
        if curve not in picked.curves and len(parts) == len(set(parts) - taken):
            picked.add(curve, parts, _sum([_numbers(table, part, name) for part in parts]))
    sizes = {
        alias: len(table.columns[column].values)
        for column, alias in dialect.aliases.items()
        if alias and column not in taken
    }
    column_of = {alias: column for column, alias in dialect.aliases.items() if column not in taken}
    for curve, alias in sorted(matched(sizes).items(), key=lambda pair: CURVES.index(pair[0])):
        if curve not in picked.curves and _SINGLE.get(curve) not in named:
            role = role_of(alias)
            complement = column_of[alias] in dialect.complement or bool(role and role.complement)
            _add_one(picked, table, curve, column_of[alias], complement=complement, strict=name)
    if not any(curve.endswith(("loss", "cross_entropy", "accuracy")) for curve in picked.curves):
        raise DataError(f"{name}: {_unknown(table, dialect, picked)}")
    picked.left_out = {column for column, alias in dialect.aliases.items() if not alias}
    picked.measured = _measured(table, picked, dialect)
    return picked


def _add_one(
    picked: Chosen, table: Table, curve: str, column: str, *, complement: bool, strict: str
) -> None:
    numbers = _numbers(table, column, strict)
    if not curve.endswith("accuracy"):
        picked.add(curve, [column], numbers)
        return
    finite = numbers.values[np.isfinite(numbers.values)]
    highest, lowest = (float(f(finite)) if len(finite) else 0.0 for f in (np.max, np.min))
    if highest > 100.5 or lowest < 0:
        picked.notes.append(
            f"{column} reaches {highest if highest > 100 else lowest:g}, neither a share from 0 to "
            "1 nor a percentage: not used"
        )
        return
    percent = highest > 1.0001
    values = numbers.values / 100 if percent else numbers.values
    dress = " in percent" if percent else ""
    if complement:
        values, dress = 1 - values, f"{dress} (1 minus it)"
    picked.add(curve, [column], Column(numbers.rows, values), dress)


def _numbers(table: Table, column: str, name: str) -> Column:
    found = table.columns[column]
    if found.bad:
        raise DataError(
            f"{name}, {column}: {found.bad}, is not a number. Write one, or leave the cell empty."
        )
    return found


def _sum(parts: Sequence[Column]) -> Column:
    """The sum of columns, where all have a number."""
    rows = parts[0].rows
    for part in parts[1:]:
        rows = np.intersect1d(rows, part.rows)
    values = [part.values[np.searchsorted(part.rows, rows)] for part in parts]
    return Column(rows, np.sum(values, axis=0))


def _named(table: Table, dialect: Dialect, typed: str, curve: str, name: str) -> str:
    """The column that a person names, as it stands in the file or without case and separators."""
    candidates = [
        *(column for column in table.columns if column == typed),
        *(column for column, alias in dialect.aliases.items() if alias == typed),
        *(column for column in table.columns if plain(column) == plain(typed)),
    ]
    if candidates:
        return candidates[0]
    near = get_close_matches(typed, list(table.columns), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    option = WORDS_OF[curve].replace("training", "train").replace("validation", "val")
    raise DataError(
        f"{name}: {option.replace(' ', '_')}={typed}: the history has no such column of numbers."
        f"{hint} It has {_listed(list(table.columns))}."
    )


def _measured(table: Table, picked: Chosen, dialect: Dialect) -> TrainCurve:
    """Whether the training curve is a running mean of training mode, as far as names tell."""
    names = {alias.lower() for alias in dialect.aliases.values()}
    used = picked.columns.get(TRAIN_LOSS, picked.columns.get("train/accuracy", ()))
    if dialect.boosting or any(curve in picked.curves for curve in OURS):
        return "evaluation"
    if not used:
        return "unknown"
    alias = dialect.aliases[used[0]]
    if table.kind == "console":
        # nanoGPT: `step 250: train loss …, val loss …` beside `iter 10: loss …`
        twice = has_part(alias) and {"loss", "step"} <= names
        return "evaluation" if twice else "running_mean"
    by_tool = any(sign in names for sign in _RUNNING) or dialect.sums or "epoch" in alias.lower()
    as_keras = is_known(alias) and not has_part(alias)
    return "running_mean" if by_tool or as_keras else "unknown"


def _unknown(table: Table, dialect: Dialect, picked: Chosen) -> str:
    columns = [*table.columns, *table.texts]
    if dialect.several_runs:
        return (
            f"it holds several runs ({_listed(dialect.several_runs)}). Name the columns of one: "
            'train_loss="<column>" val_loss="<column>"'
        )
    known = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate", "loss")
    near = next((m for c in columns for m in get_close_matches(c.lower(), known, n=1)), None)
    hint = f" Did you mean {near}?" if near else ""
    why = "".join(f" {note}." for note in picked.notes)
    return (
        f"no known curve among {_listed(columns)}.{hint}{why} Name the columns: "
        "train_loss=<column> val_loss=<column> (docs/histories.md has the names that are known)."
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(name[:60] for name in names[:12]) + more if names else "nothing"
