"""The pictures of the page: their places, their captions, and their content in words."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.diagnosis.proof import Verification
from pipeline.errors import DataError
from pipeline.reporting import sentences
from pipeline.reporting.forest import rows_of
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.style import DPI

TRAINING = ("learning_curves", "gradient_flow", "dead_units")
TEST = ("confusion", "reliability", "mistakes", "per_class")
ELSEWHERE = ("generalization",)
# Light and dark mean something in a photograph, so it keeps them on a dark page.
PHOTOGRAPHS = ("mistakes", "predictions")

# File stem → heading and caption.
_CAPTIONS = {
    "verification": (
        "Remedies against the controls",
        "How far the validation loss falls over paired seeds, with intervals corrected for the "
        "number of arms. A reseed shows the effect of chance; random search of equal cost shows "
        "the effect of trying.",
    ),
    "learning_curves": (
        "Learning curves",
        "Both falling together is healthy; validation rising while training falls is overfitting; "
        "both staying high is underfitting. Bands are 95 % intervals over the sample's images; "
        "shaded epochs decided the diagnosis.",
    ),
    "gradient_flow": (
        "Gradient flow",
        "The pull on each layer (norm of its gradient per root of its weights), from the input on "
        "top to the output. A colour that fades towards the input is a vanishing gradient; one "
        "that grows from epoch to epoch explodes.",
    ),
    "dead_units": (
        "Dead units",
        "The share of each layer's units that no image of the sample wakes. They learn nothing "
        "any more.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the truth, columns the prediction, numbers the count. Blue is right; orange is "
        "the share of a class that was taken for another, full at 10 %.",
    ),
    "per_class": ("Classes", "The weakest class on top; lines are 95 % intervals."),
    "mistakes": (
        "Worst mistakes",
        "The errors that the model was most sure of: mislabelled, ambiguous, or a gap in its "
        "knowledge.",
    ),
    "reliability": (
        "Calibration",
        "On the diagonal the model is right as often as it says. Bars are 95 % intervals.",
    ),
    "comparison": ("Accuracy side by side", "Where intervals overlap, the order may be chance."),
    "generalization": (
        "Accuracy elsewhere",
        "The same model on images it was not trained for: test images changed at severity 1 to 5, "
        "and data from elsewhere.",
    ),
}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DOTS_PER_CSS_PIXEL = DPI / 96


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    alt: its content in words.  source, narrow: ``data:`` URIs, the second for a narrow screen or
    empty.  width: CSS pixels, so that type in pictures is as large as it was drawn.
    photograph: whether it keeps its light and dark.
    """

    heading: str
    caption: str
    alt: str
    source: str
    width: int
    narrow: str = ""
    photograph: bool = False


def of_model(model: ModelReport, stems: Sequence[str]) -> list[Picture]:
    """Return the model's pictures among ``stems``, in that order.

    Raises `DataError` for a picture that is not a PNG.
    """
    return [_of_model(model, stem) for stem in stems if stem in model.pictures]


def others(model: ModelReport) -> list[Picture]:
    """Return the pictures that have no place of their own, by name."""
    return of_model(model, sorted(set(model.pictures) - set(_CAPTIONS)))


def comparison(content: bytes, narrow: bytes, models: Sequence[ModelReport]) -> Picture:
    """Return the picture of all models' accuracy, for a wide and for a narrow screen."""
    heading, caption = _CAPTIONS["comparison"]
    accuracies = [
        f"{model.name} {sentences.with_interval(model, 'accuracy', sentences.percent)[0]}"
        for model in models
    ]
    alt = f"Test accuracy with intervals: {', '.join(accuracies)}."
    return replace(picture(heading, caption, content, alt=alt), narrow=_data_uri(narrow))


def picture(heading: str, caption: str, content: bytes, *, alt: str = "") -> Picture:
    """Return a PNG of this pipeline as a part of the page."""
    width = int.from_bytes(content[16:20], "big")  # the first field of a PNG's header
    return Picture(
        heading, caption, alt or heading, _data_uri(content), round(width / _DOTS_PER_CSS_PIXEL)
    )


def _of_model(model: ModelReport, stem: str) -> Picture:
    content, narrow = model.pictures[stem], model.narrow_pictures.get(stem, b"")
    if not content.startswith(_PNG_SIGNATURE):
        raise DataError(
            f"The picture {stem!r} begins with {content[:8]!r}, but it must be a PNG. "
            "Remove the file and make it again with `pipeline evaluate`."
        )
    heading, caption = _heading_and_caption(stem)
    if stem == "confusion":
        caption = f"{caption} {_confusions(model)}".strip()
    return replace(
        picture(heading, caption, content, alt=alt_text(model, stem)),
        narrow=_data_uri(narrow) if narrow else "",
        photograph=stem in PHOTOGRAPHS,
    )


def _heading_and_caption(stem: str) -> tuple[str, str]:
    return _CAPTIONS.get(stem, (sentences.words(stem).capitalize(), ""))


def _data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


# --- pictures in words ----------------------------------------------------------------------------


def alt_text(model: ModelReport, stem: str) -> str:
    """Return a picture in words, with its numbers where they are known."""
    heading, _ = _heading_and_caption(stem)
    content = _CONTENTS[stem](model) if stem in _CONTENTS else ""
    return f"{heading} of {model.name}. {content[:1].upper()}{content[1:]}".strip()


def _curves(model: ModelReport) -> str:
    parts = []
    for part, word in (("train", "training"), ("val", "validation")):
        losses = [row.metrics.get(f"{part}/loss", math.nan) for row in model.history]
        if losses and math.isfinite(losses[0]) and math.isfinite(losses[-1]):
            parts.append(f"{word} loss goes from {losses[0]:.3g} to {losses[-1]:.3g}")
    return f"Over {len(model.history)} epochs {', '.join(parts)}." if parts else ""


def _confusions(model: ModelReport) -> str:
    most = [f"{true} taken for {taken} ({count})" for true, taken, count in model.confusions[:3]]
    return f"Most often: {', '.join(most)}." if most else ""


def _calibration(model: ModelReport) -> str:
    value, interval = sentences.with_interval(model, "calibration_error", sentences.percent)
    return f"Calibration error {value}, interval {interval}." if interval else ""


def _elsewhere(model: ModelReport) -> str:
    if not model.generalization:
        return ""
    worst = min(model.generalization, key=lambda row: row.accuracy.value)
    severity = f" of severity {worst.severity}" if worst.severity else ""
    accuracy = sentences.percent(worst.accuracy.value)
    return f"Lowest: {accuracy} on {worst.name}{severity}. All are in the table below."


def _verification(model: ModelReport) -> str:
    return _arms(model.verification) if model.verification else ""


def _arms(verification: Verification) -> str:
    arms = [
        f"{sentences.words(row.name)} {sentences.whole_percent(row.reduction)}, {row.verdict}"
        for row in rows_of(verification)
    ]
    return f"Fall of the validation loss: {'; '.join(arms)}."


_CONTENTS: Mapping[str, Callable[[ModelReport], str]] = {
    "learning_curves": _curves,
    "confusion": _confusions,
    "reliability": _calibration,
    "generalization": _elsewhere,
    "verification": _verification,
    "per_class": sentences.weakest_class,
}
