"""The pictures of one model's evaluation, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.reporting import confusion, generalization, mistakes, per_class, reliability
from pipeline.reporting.style import save_png
from pipeline.runs.evaluation import ModelEvaluation


def write_pictures(measured: ModelEvaluation, folder: Path) -> list[Path]:
    """Draw confusion, calibration, classes, generalization and mistakes; return the PNG paths.

    The rows of a table have neither of the last two.
    """
    scores, wrong = measured.scores, measured.mistakes
    of_rows = wrong.images.dtype != np.uint8
    figures = {
        "confusion": confusion.plot(scores.confusion, class_names=scores.class_names),
        "reliability": reliability.plot(scores.calibration_bins),
        "per_class": per_class.plot(scores),
    }
    if not of_rows:
        figures["generalization"] = generalization.plot(measured.generalization)
        figures["mistakes"] = mistakes.plot(
            wrong.images,
            wrong.labels,
            predictions=wrong.predictions,
            confidences=wrong.confidences,
            class_names=scores.class_names,
        )
    for stem, figure in figures.items():
        save_png(figure, folder / f"{stem}.png")
    return [folder / f"{stem}.png" for stem in figures]
