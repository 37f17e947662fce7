"""The pictures of one model's evaluation, as files."""

from __future__ import annotations

from pathlib import Path

from pipeline.reporting import confusion, generalization, mistakes, per_class, reliability
from pipeline.reporting.style import save_png
from pipeline.runs.evaluation import ModelEvaluation


def write_pictures(measured: ModelEvaluation, folder: Path) -> list[Path]:
    """Draw confusion, calibration, classes, generalization and mistakes; return the PNG paths."""
    scores, wrong = measured.scores, measured.mistakes
    figures = {
        "confusion": confusion.plot(scores.confusion, class_names=scores.class_names),
        "reliability": reliability.plot(scores.calibration_bins),
        "per_class": per_class.plot(scores),
        "generalization": generalization.plot(measured.generalization),
        "mistakes": mistakes.plot(
            wrong.images,
            wrong.labels,
            predictions=wrong.predictions,
            confidences=wrong.confidences,
            class_names=scores.class_names,
        ),
    }
    for stem, figure in figures.items():
        save_png(figure, folder / f"{stem}.png")
    return [folder / f"{stem}.png" for stem in figures]
