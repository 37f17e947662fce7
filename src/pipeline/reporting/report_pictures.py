"""The pictures that the report draws itself, each for a wide and for a narrow screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.diagnosis.proof import Verification
from pipeline.diagnosis.record import Diagnosis
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.evaluation.tables import read_confusion_csv
from pipeline.reporting import confusion, evidence_curves, forest, generalization, layer_maps
from pipeline.reporting.evidence_curves import Spans
from pipeline.reporting.kept_pictures import Album
from pipeline.reporting.style import HALF, PHONE, WIDE
from pipeline.runs.history import read_run

# The page draws its own. These files were drawn for one width, or before the diagnosis was known.
REPLACED = ("diagnosis", "learning_curves", "verification")
_MOST_CLASSES = 12  # a larger matrix is too fine for a narrow screen; a reader scrolls it there

Draw = Callable[[float], bytes]  # inches → PNG


def drawn(
    name: str,
    *,
    diagnosis: Diagnosis | None,
    verification: Verification | None,
    elsewhere: Sequence[GeneralizationRow],
    root: Path,
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return file stem → PNG for a wide and for a narrow screen, of what there is to draw."""
    folder = root / "results" / name
    album = Album(root)
    pictures = [
        *_training(name, _deciding_epochs(diagnosis), root, album),
        *_verification(verification, album),
    ]
    wide = {stem: draw(width) for stem, width, draw in pictures}
    narrow = {stem: draw(PHONE) for stem, _, draw in pictures}
    # The wide ones of these are on disk.
    if (folder / "confusion.png").is_file():
        matrix, names = read_confusion_csv(folder / "confusion.csv")
        if len(names) <= _MOST_CLASSES:
            narrow["confusion"] = album.png(confusion.plot, matrix, class_names=names, width=PHONE)
    if (folder / "generalization.png").is_file() and elsewhere:
        narrow["generalization"] = album.png(generalization.plot, elsewhere, width=PHONE)
    return wide, narrow


def _deciding_epochs(diagnosis: Diagnosis | None) -> Spans:
    """Return the epochs that the evidence for the verdict comes from."""
    if diagnosis is None or not diagnosis.findings:
        return ()
    return tuple(c.epochs for c in diagnosis.findings[0].conditions if c.epochs)


def _training(
    name: str, decided: Spans, root: Path, album: Album
) -> Iterator[tuple[str, float, Draw]]:
    if not (root / "results" / name / "history.csv").is_file():
        return
    history = read_run(name, root=root).history
    yield (
        "learning_curves",
        WIDE,
        lambda width: album.png(evidence_curves.plot, history, decided=decided, width=width),
    )
    if history.signals is None:
        return
    gradients, dead = (
        layer_maps.gradient_map(history.signals),
        layer_maps.dead_unit_map(history.signals),
    )
    if gradients is not None:
        yield (
            "gradient_flow",
            HALF,
            lambda width: album.png(layer_maps.plot, gradients, width=width),
        )
    if dead is not None:
        yield "dead_units", HALF, lambda width: album.png(layer_maps.plot, dead, width=width)


def _verification(
    verification: Verification | None, album: Album
) -> Iterator[tuple[str, float, Draw]]:
    if verification is not None:
        rows = forest.rows_of(verification)
        title = "Fall of the validation loss"
        yield (
            "verification",
            WIDE,
            lambda width: album.png(forest.plot, rows, title=title, width=width),
        )
