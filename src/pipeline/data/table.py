"""A person's own table: one row an example, one column its class; from text to numbers.

A column whose values are all numbers is standardised by the training part's mean and deviation.
Any other column is a category: one number for each value that the training part has, 1 for the
row's own (one-hot). A missing number becomes the mean, and where the training part lacks some, one
more number says so. A missing category is a category of its own. A value that the training part
does not have gives 0 everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.prepare import take
from pipeline.data.split import stratified_split
from pipeline.data.table_file import Cell, Cells, number_of, read_cells
from pipeline.errors import DataError
from pipeline.records import Column, ImageSet

MOST_CATEGORIES = 50  # of one column; rarer values count as unknown ones
MOST_CLASSES = 100
FEW_NUMBERS = 20  # different ones in a column of classes; more may be measurements


@dataclass(frozen=True)
class TableParts:
    """A table as numbers, in three parts.

    Each part has "images" ``[N, 1, 1, D]`` float32.  notes: sentences on what was left out.
    """

    train: ImageSet
    val: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]


def read_table_parts(
    path: Path,
    *,
    target: str,
    categorical: Sequence[str],
    ignore: Sequence[str],
    test_fraction: float,
    validation_size: int | float,
    seed: int,
) -> TableParts:
    """Read a table, split it, and make numbers of it by the training part alone.

    target: the column of the class.  categorical: columns of numbers that are categories.
    ignore: columns that are left out.  validation_size: rows, or a share of the rest.

    Raises:
        DataError: no table, a column that is not there, a target that is no class, or an
            impossible split.
    """
    cells = read_cells(path)
    for key, names in (("target", [target]), ("categorical", categorical), ("ignore", ignore)):
        _check_there(names, cells, key=key, path=path)
    notes: list[str] = []
    cells = _with_target(cells, target, notes)
    class_names, labels = _classes(cells[target], target=target, path=path, notes=notes)
    size = round(test_fraction * len(labels))
    train, test = _split(labels, class_names, size=size, seed=seed, key="test_fraction")
    size = (
        round(validation_size * len(train))
        if isinstance(validation_size, float)
        else validation_size
    )
    fit, val = _split(labels[train], class_names, size=size, seed=seed, key="validation_size")
    fit, val = train[fit], train[val]
    features = {name: values for name, values in cells.items() if name not in (target, *ignore)}
    columns = tuple(_described(features, fit, categorical=categorical, notes=notes))
    if not columns:
        raise DataError(f"{path}: has no column beside {target} that tells rows apart.")
    numbers = encoded(features, columns)
    whole = ImageSet(images=numbers, labels=labels)
    return TableParts(
        train=take(whole, fit),
        val=take(whole, val),
        test=take(whole, test),
        class_names=class_names,
        columns=columns,
        notes=tuple(notes),
    )


def encoded(cells: Cells, columns: Sequence[Column]) -> np.ndarray:
    """Return the numbers of rows, ``[N, 1, 1, D]`` float32.

    Raises `DataError` where a column is not there, or holds text in place of a number, or one
    that float32 cannot hold.
    """
    for column in columns:
        if column.name not in cells:
            raise DataError(
                f"The column {column.name} is not there. The model needs "
                f"{', '.join(c.name for c in columns)}."
            )
    parts = [part for column in columns for part in _parts(column, cells[column.name])]
    return np.stack(parts, axis=1).astype(np.float32)[:, np.newaxis, np.newaxis]


def unknown_values(cells: Cells, columns: Sequence[Column]) -> list[list[str]]:
    """Return for each row the values that the training part does not have, as ``column=value``."""
    found: list[list[str]] = [[] for _ in next(iter(cells.values()))]
    for column in columns:
        if column.kind == "category":
            known = set(column.categories)
            for row, value in zip(found, cells[column.name], strict=True):
                if (value or "") not in known:
                    row.append(f"{column.name}={value or '(missing)'}")
    return found


def _parts(column: Column, values: Sequence[Cell]) -> Iterator[np.ndarray]:
    if column.kind == "category":
        given = np.array([value or "" for value in values], dtype=object)
        yield from (given == category for category in column.categories)
        return
    numbers = np.full(len(values), column.mean)
    for row, value in enumerate(values):
        if value is not None:
            number = number_of(value)
            if number is None:
                raise DataError(
                    f"The column {column.name} has {value!r} in row {row + 1}, and the training "
                    "had numbers there. Correct the value, or leave it empty."
                )
            numbers[row] = number
    with np.errstate(over="ignore"):
        scaled = (numbers - column.mean) / column.std
    beyond = np.flatnonzero(np.abs(scaled) > np.finfo(np.float32).max)
    if len(beyond):
        raise DataError(
            f"The column {column.name} has {values[beyond[0]]} in row {beyond[0] + 1}, too large "
            "for the network's numbers (float32). Correct the value, or leave it empty."
        )
    yield scaled
    if column.has_missing:
        yield np.array([value is None for value in values])


def _described(
    cells: Cells, rows: np.ndarray, *, categorical: Sequence[str], notes: list[str]
) -> Iterator[Column]:
    """Describe each column by the rows of the training part; leave out those that say nothing."""
    for name, values in cells.items():
        given = [values[row] for row in rows]
        present = [value for value in given if value is not None]
        if len(set(given)) < 2:
            notes.append(f"note: the column {name} has one value only and was left out")
        elif name not in categorical and all(
            value is None or number_of(value) is not None for value in values
        ):
            numbers = np.array([float(value) for value in present])
            alike = numbers.min() == numbers.max()  # the sum rounds, so std may be 1e-17
            yield Column(
                name=name,
                kind="number",
                mean=float(numbers.mean()),
                std=1.0 if alike else float(numbers.std()),
                has_missing=len(present) < len(given),
            )
        else:
            yield _category(name, given, notes)


def _category(name: str, given: Sequence[Cell], notes: list[str]) -> Column:
    counts = Counter(value or "" for value in given)
    frequent = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_CATEGORIES]
    if len(counts) > len(frequent):
        notes.append(
            f"note: the column {name} has {len(counts)} values; the {MOST_CATEGORIES} most "
            "frequent are kept, the others count as unknown"
        )
    return Column(name=name, kind="category", categories=tuple(sorted(frequent)))


def _with_target(cells: Cells, target: str, notes: list[str]) -> Cells:
    kept = [row for row, value in enumerate(cells[target]) if value is not None]
    without = len(cells[target]) - len(kept)
    if without:
        notes.append(f"note: {without} rows have no {target} and were left out")
    return {name: [values[row] for row in kept] for name, values in cells.items()}


def _classes(
    values: Sequence[Cell], *, target: str, path: Path, notes: list[str]
) -> tuple[tuple[str, ...], np.ndarray]:
    names = sorted({str(value) for value in values}, key=_order)
    _check_classes(names, num_rows=len(values), target=target, path=path)
    if len(names) > FEW_NUMBERS and _are_numbers(names):
        notes.append(
            f"note: the {len(names)} numbers of {target} are taken as classes without an order; "
            "regression is not built"
        )
    index = {name: label for label, name in enumerate(names)}
    return tuple(names), np.array([index[str(value)] for value in values], dtype=np.int64)


def _check_classes(names: Sequence[str], *, num_rows: int, target: str, path: Path) -> None:
    if _are_measurements(names, num_rows=num_rows):
        raise DataError(
            f"data.target={target}: has {len(names)} different numbers in {num_rows} rows of "
            f"{path}, such as {names[len(names) // 2]}. This looks like a measurement, and "
            f"regression is not built: a target has 2 to {MOST_CLASSES} classes. Choose a column "
            f"of classes, or add one with ranges of {target}, such as low, middle and high."
        )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(
            f"data.target={target}: has {len(names)} different values in {path}; a class needs 2 "
            f"to {MOST_CLASSES}. Choose a column of classes."
        )


def _are_measurements(names: Sequence[str], *, num_rows: int) -> bool:
    """Whether values are numbers that measure something, and do not name a class.

    They are too many for classes, or most rows have one of their own, or they have fractions.
    """
    if len(names) <= 2 or not _are_numbers(names):
        return False
    rare = 2 * len(names) > num_rows
    with_fraction = any(float(name) % 1 for name in names)
    return len(names) > MOST_CLASSES or rare or (with_fraction and len(names) > FEW_NUMBERS)


def _are_numbers(names: Sequence[str]) -> bool:
    return all(number_of(name) is not None for name in names)


def _order(name: str) -> tuple[bool, float, str]:
    number = number_of(name)
    return number is None, number or 0.0, name


def _split(
    labels: np.ndarray, class_names: Sequence[str], *, size: int, seed: int, key: str
) -> tuple[np.ndarray, np.ndarray]:
    try:
        return stratified_split(labels, size=size, seed=seed, class_names=class_names)
    except DataError as error:
        raise DataError(f"data.{key} is impossible. {error}") from error


def _check_there(names: Sequence[str], cells: Cells, *, key: str, path: Path) -> None:
    for name in names:
        if name not in cells:
            raise DataError(
                f"data.{key}={name}: {path} has no such column. It has {', '.join(cells)}."
            )
