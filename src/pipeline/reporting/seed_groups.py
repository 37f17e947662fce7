"""The part of the report on settings that were trained with several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.over_seeds import OverSeeds, SeedsRecord
from pipeline.reporting import pictures, sentences
from pipeline.reporting.pictures import Picture

HEADING = ("accuracy", "cross_entropy", "f1_macro", "calibration_error")


@dataclass(frozen=True)
class GroupReport:
    """One group. picture: PNG of its curves, or empty."""

    record: SeedsRecord
    picture: bytes = b""


@dataclass(frozen=True)
class GroupRow:
    """One group as the page shows it.

    cells: label, value with its spread, and interval.  curves: None without the picture.
    """

    name: str
    on: str
    best: str
    seeds: str
    cells: Sequence[tuple[str, str, str]]
    curves: Picture | None


def rows_of(groups: Sequence[GroupReport]) -> list[GroupRow]:
    """Return the rows of the table, by test set and then the highest mean accuracy first."""
    ordered = sorted(groups, key=lambda g: (g.record.on.data, -g.record.test["test/accuracy"].mean))
    return [_row(group) for group in ordered]


def _row(group: GroupReport) -> GroupRow:
    record = group.record
    listed = ", ".join(str(run.seed) for run in record.runs)
    lost = len(record.runs) - len(record.finished)
    return GroupRow(
        name=record.name,
        on=record.on.data,
        best=record.best,
        seeds=f"{listed}; {lost} failed" if lost else listed,
        cells=[
            ("Seeds", str(len(record.finished)), ""),
            *(_cell(name, record) for name in HEADING),
        ],
        curves=_curves(group),
    )


def _cell(name: str, record: SeedsRecord) -> tuple[str, str, str]:
    label = "Macro F1" if name == "f1_macro" else sentences.words(name).capitalize()
    number = record.test[f"test/{name}"]
    show = sentences.nats if name == "cross_entropy" else sentences.percent
    if number.n < 2:
        return label, show(number.mean), ""
    value = f"{show(number.mean)} ± {show(number.standard_deviation)}"
    return label, value, _interval(number, as_percent=name != "cross_entropy")


def _interval(number: OverSeeds, *, as_percent: bool) -> str:
    if as_percent:
        return f"{100 * number.low:.2f} … {100 * number.high:.2f}"
    return f"{sentences.nats(number.low)} … {sentences.nats(number.high)}"


def _curves(group: GroupReport) -> Picture | None:
    if not group.picture:
        return None
    record = group.record
    caption = f"Mean and one standard deviation over {len(record.finished)} seeds."
    alt = f"Loss and accuracy by epoch of {record.name}: test {record.in_words}."
    return pictures.picture(f"{record.name}: curves", caption, group.picture, alt=alt)
