"""Names of a person's own, and many classes: a picture stays readable, and is drawn at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.figure import Figure

from drawn import texts
from pipeline.evaluation import evaluate
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.evaluation.intervals import wilson
from pipeline.reporting import (
    comparison,
    confusion,
    generalization,
    mistakes,
    per_class,
    run_lines,
    sweep_slices,
)
from pipeline.reporting.run_lines import Line, Panel
from pipeline.reporting.style import png_bytes

NAMES = ["W" * 100, "$_$", "", f"{'i' * 60}1", f"{'i' * 60}2", "<b>"]
HALF = wilson(5, 10)


def scores(names: list[str]) -> Figure:
    labels = np.arange(len(names))
    logits = np.eye(len(names))[labels]
    return per_class.plot(evaluate(logits, labels, class_names=names, num_resamples=40))


def lines(names: list[str]) -> Figure:
    drawn = [Line(name, np.array([1.0]), np.array([i])) for i, name in enumerate(names)]
    return run_lines.plot([Panel("loss", "epoch", drawn)], heading=" ".join(names))


def lost_line(names: list[str]) -> Figure:
    lost = [Line(name, np.array([1.0]), np.array([np.nan])) for name in names]
    return run_lines.plot([Panel("loss", "epoch", [*lost, Line("a", np.ones(1), np.ones(1))])])


def landscape(names: list[str]) -> Figure:
    x, y, losses = names * 2, [*range(len(names)), *range(3, 3 + len(names))], range(2 * len(names))
    figure = sweep_slices.contour(("x", x, False), ("y", y, False), list(losses), of="loss")
    assert figure is not None
    return figure


def mistaken(names: list[str]) -> Figure:
    count = len(names)
    images, labels = np.zeros((count, 1, 2, 2), np.uint8), np.arange(count)
    shares = np.full(count, 0.5)
    return mistakes.plot(images, labels, predictions=labels, confidences=shares, class_names=names)


DRAWN: dict[str, Callable[[list[str]], Figure]] = {
    "comparison": lambda names: comparison.plot([(name, HALF) for name in names]),
    "comparison_phone": lambda names: comparison.plot([(n, HALF) for n in names], width=4.0),
    "confusion": lambda names: confusion.plot(np.eye(len(names), dtype=int), class_names=names),
    "confusion_phone": lambda names: confusion.plot(
        np.eye(len(names), dtype=int), class_names=names, width=4.0
    ),
    "generalization": lambda names: generalization.plot(
        [GeneralizationRow(name, severity, HALF) for name in names for severity in (1, None)]
    ),
    "per_class": scores,
    "mistakes": mistaken,
    "lines": lines,
    "lost_line": lost_line,
    "slices": lambda names: sweep_slices.slices(
        [(names[0], names, False)], [[float(i) for i in range(len(names))]], of="loss"
    ),
    "landscape": landscape,
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_long_names_and_signs_leave_room_for_the_picture(
    draw: Callable[[list[str]], Figure],
) -> None:
    figure = draw(NAMES)
    png_bytes(figure)  # matplotlib warns where nothing is left, and a warning is an error here
    widest = max(axes.get_position().width for axes in figure.axes)
    assert widest > (0.1 if len(figure.axes) > 2 else 0.3)


def test_long_names_stay_distinct() -> None:
    names = [tick.get_text() for tick in DRAWN["comparison"](NAMES).axes[0].get_yticklabels()]
    assert len(set(names)) == len(NAMES)


def test_many_classes_are_drawn_small_enough() -> None:
    classes = 200
    matrix = np.eye(classes, dtype=int)
    matrix[7, 3] = 1
    figure = confusion.plot(matrix, class_names=[f"c{i}" for i in range(classes)])
    png_bytes(figure)
    assert max(figure.get_size_inches()) < 20
    assert texts(figure).count("1") == 0  # counts would cover each other
    assert 10 <= len(figure.axes[0].get_yticklabels()) <= 40


def test_of_many_classes_the_weakest_are_drawn() -> None:
    labels = np.arange(200)
    logits = np.eye(200)
    logits[7] = logits[8]
    names = [f"c{i}" for i in range(200)]
    scored = evaluate(logits, labels, class_names=names, num_resamples=40)
    axes = per_class.plot(scored).axes[0]
    shown = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(shown) == 40
    assert shown[-1].startswith("c7 ") and shown[-2].startswith("c8 ")
    assert axes.get_xlabel() == "the 40 weakest of 200 classes"
