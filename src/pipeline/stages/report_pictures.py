"""The pictures that the report draws itself, each for a wide and for a narrow screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.evaluation.tables import read_confusion_csv
from pipeline.reporting import confusion, evidence_curves, forest, generalization, layer_maps
from pipeline.reporting.evidence_curves import Spans
from pipeline.reporting.model_report import ArmRow, GeneralizationRow
from pipeline.reporting.style import HALF, PHONE, WIDE, png_bytes
from pipeline.stages.diagnose import read_own

# Of these the page has its own; the files were drawn for one width, or before the diagnosis was known.
REPLACED = ("diagnosis", "learning_curves", "verification")
_MOST_CLASSES = 12  # a matrix of more is too fine for a narrow screen; it is scrolled there

Draw = Callable[[float], Figure]


def drawn(
    name: str, *, decided: Spans, arms: Sequence[ArmRow], elsewhere: Sequence[GeneralizationRow], root: Path
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return stem → PNG, for a wide and for a narrow screen, as far as there is something to draw.

    decided: the epochs that decided the diagnosis.  arms: of a verification.
    """
    folder = root / "results" / name
    pictures = [*_training(name, decided, root), *_arms(arms)]
    wide = {stem: png_bytes(draw(width)) for stem, width, draw in pictures}
    narrow = {stem: png_bytes(draw(PHONE)) for stem, _, draw in pictures}
    # The wide ones of these are on disk.
    if (folder / "confusion.png").is_file():
        matrix, names = read_confusion_csv(folder / "confusion.csv")
        if len(names) <= _MOST_CLASSES:
            narrow["confusion"] = png_bytes(confusion.plot(matrix, class_names=names, width=PHONE))
    if (folder / "generalization.png").is_file() and elsewhere:
        narrow["generalization"] = png_bytes(generalization.plot(elsewhere, width=PHONE))
    return wide, narrow


def _training(name: str, decided: Spans, root: Path) -> Iterator[tuple[str, float, Draw]]:
    if not (root / "results" / name / "history.csv").is_file():
        return
    history, _ = read_own(name, root=root)
    yield "learning_curves", WIDE, lambda width: evidence_curves.plot(history, decided=decided, width=width)
    if history.signals is None:
        return
    gradients, dead = layer_maps.gradient_map(history.signals), layer_maps.dead_unit_map(history.signals)
    if gradients is not None:
        yield "gradient_flow", HALF, lambda width: layer_maps.plot(gradients, width=width)
    if dead is not None:
        yield "dead_units", HALF, lambda width: layer_maps.plot(dead, width=width)


def _arms(arms: Sequence[ArmRow]) -> Iterator[tuple[str, float, Draw]]:
    if arms:
        rows = [forest.Row(arm.name, arm.change, arm.verdict) for arm in arms]
        title = "Fall of the validation loss"
        yield "verification", WIDE, lambda width: forest.plot(rows, title=title, width=width)
