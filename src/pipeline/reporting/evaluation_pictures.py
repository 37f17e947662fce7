"""The pictures of one model's evaluation, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.files import write_atomically
from pipeline.reporting import confusion, generalization, mistakes, per_class, reliability
from pipeline.reporting.kept_pictures import Album
from pipeline.runs.evaluation import ModelEvaluation


def write_pictures(measured: ModelEvaluation, folder: Path, *, root: Path) -> list[Path]:
    """Draw confusion, calibration, classes, generalization and mistakes; return the PNG paths.

    The rows of a table have neither of the last two.
    """
    scores, wrong = measured.scores, measured.mistakes
    of_rows = wrong.images.dtype != np.uint8
    draw = Album(root).png
    contents = {
        "confusion": draw(confusion.plot, scores.confusion, class_names=scores.class_names),
        "reliability": draw(reliability.plot, scores.calibration_bins),
        "per_class": draw(per_class.plot, scores),
    }
    if not of_rows:
        contents["generalization"] = draw(generalization.plot, measured.generalization)
        contents["mistakes"] = draw(
            mistakes.plot,
            wrong.images,
            wrong.labels,
            predictions=wrong.predictions,
            confidences=wrong.confidences,
            class_names=scores.class_names,
        )
    for stem, content in contents.items():
        write_atomically(folder / f"{stem}.png", content)
    return [folder / f"{stem}.png" for stem in contents]
