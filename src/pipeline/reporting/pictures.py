"""The pictures of the page: where each stands, what is to be seen in it, and the same in words."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import DataError
from pipeline.reporting import sentences
from pipeline.reporting.model_report import ArmRow, ModelReport
from pipeline.reporting.style import DPI

TRAINING = ("learning_curves", "gradient_flow", "dead_units")
TEST = ("confusion", "reliability", "mistakes", "per_class")
ELSEWHERE = ("generalization",)
# A photograph's light and dark mean something: it keeps them on a dark page.
PHOTOGRAPHS = ("mistakes", "predictions")

_CAPTIONS = {
    "verification": (
        "Remedies against the controls",
        "How far the validation loss falls over paired seeds, with intervals corrected for the number of arms. "
        "A reseed shows what chance does; random search of equal cost shows what trying does.",
    ),
    "learning_curves": (
        "Learning curves",
        "Both falling together is healthy; validation rising while training falls is overfitting; both staying "
        "high is underfitting. Bands are 95 % intervals over the probe's images; shaded are the epochs that "
        "decided the diagnosis.",
    ),
    "gradient_flow": (
        "Gradient flow",
        "How hard each layer is pulled (norm of its gradient per root of its weights), from the input on top to the "
        "output. A colour that fades towards the "
        "input is a vanishing gradient; one that grows from epoch to epoch explodes.",
    ),
    "dead_units": (
        "Dead units",
        "The share of each layer's units that none of the probe's images wakes. They learn nothing any more.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the truth, columns the prediction, numbers the count. Blue is right; orange is the "
        "share of a class that was taken for another, full at 10 %.",
    ),
    "per_class": ("Classes", "The weakest class on top; lines are 95 % intervals."),
    "mistakes": (
        "Worst mistakes",
        "The errors the model was most sure of: mislabelled, ambiguous, or a gap in what it has learned.",
    ),
    "reliability": (
        "Calibration",
        "On the diagonal the model is right as often as it says. Bars are 95 % intervals.",
    ),
    "comparison": ("Accuracy side by side", "Where intervals overlap, the order may be chance."),
    "generalization": ("Accuracy elsewhere", "The same model on images it was not trained for."),
}
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DOTS_PER_CSS_PIXEL = DPI / 96


@dataclass(frozen=True)
class Picture:
    """A picture inside the page. source, narrow: ``data:`` URIs, the second for a narrow screen or empty.

    alt: what a person who does not see it is told.  photograph: whether its light and dark are kept.
    """

    heading: str
    caption: str
    alt: str
    source: str
    width: int  # CSS pixels, so that type in pictures is as large as it was drawn
    narrow: str = ""
    photograph: bool = False


def of_model(model: ModelReport, stems: Sequence[str]) -> list[Picture]:
    """The model's pictures among ``stems``, in that order.

    Raises `DataError` for a picture that is not a PNG.
    """
    return [
        _checked(model, stem, heading, f"{caption} {_seen(model, stem)}".strip(), alt)
        for stem in stems
        if stem in model.pictures
        for heading, caption in [_CAPTIONS.get(stem, (stem.replace("_", " ").capitalize(), ""))]
        for alt in [alt_text(model, stem)]
    ]


def others(model: ModelReport) -> list[Picture]:
    """The pictures that have no place of their own, by name."""
    return of_model(model, sorted(set(model.pictures) - set(_CAPTIONS)))


def comparison(content: bytes, narrow: bytes, models: Sequence[ModelReport]) -> Picture:
    """The picture of all models' accuracy, for a wide and for a narrow screen."""
    heading, caption = _CAPTIONS["comparison"]
    told = [f"{m.name} {sentences.with_interval(m, 'accuracy', sentences.percent)[0]}" for m in models]
    alt = f"Test accuracy with intervals: {', '.join(told)}."
    return replace(picture(heading, caption, content, alt=alt), narrow=_data_uri(narrow))


def picture(heading: str, caption: str, content: bytes, *, alt: str = "") -> Picture:
    """A PNG of ours as a part of the page."""
    width = int.from_bytes(content[16:20], "big")  # the first field of a PNG's header
    return Picture(heading, caption, alt or heading, _data_uri(content), round(width / _DOTS_PER_CSS_PIXEL))


def _checked(model: ModelReport, stem: str, heading: str, caption: str, alt: str) -> Picture:
    content, narrow = model.pictures[stem], model.narrow_pictures.get(stem, b"")
    if not content.startswith(_PNG_SIGNATURE):
        raise DataError(
            f"The picture {stem!r} begins with {content[:8]!r}, but it must be a PNG. Remove the file and "
            "make it again with `pipeline evaluate`."
        )
    return replace(
        picture(heading, caption, content, alt=alt),
        narrow=_data_uri(narrow) if narrow else "",
        photograph=stem in PHOTOGRAPHS,
    )


def _data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _seen(model: ModelReport, stem: str) -> str:
    """What this model's picture shows, as far as a sentence can say it."""
    if stem == "confusion" and model.confusions:
        told = [f"{true} taken for {taken} ({count})" for true, taken, count in model.confusions[:3]]
        return f"Most often: {', '.join(told)}."
    return ""


def alt_text(model: ModelReport, stem: str) -> str:
    """A picture in words, with its numbers where they are known."""
    heading = _CAPTIONS.get(stem, (stem.replace("_", " ").capitalize(), ""))[0]
    told = {
        "learning_curves": _curves,
        "confusion": lambda m: _seen(m, "confusion"),
        "reliability": _calibration,
        "generalization": _elsewhere,
        "verification": lambda m: _arms(m.proof.rows) if m.proof else "",
        "per_class": sentences.weakest_class,
    }.get(stem, lambda m: "")(model)
    return f"{heading} of {model.name}. {told[:1].upper()}{told[1:]}".strip()


def _curves(model: ModelReport) -> str:
    told = []
    for part, word in (("train", "training"), ("val", "validation")):
        losses = [r.metrics.get(f"{part}/loss", math.nan) for r in model.history]
        if losses and math.isfinite(losses[0]) and math.isfinite(losses[-1]):
            told.append(f"{word} loss goes from {losses[0]:.3g} to {losses[-1]:.3g}")
    return f"Over {len(model.history)} epochs {', '.join(told)}." if told else ""


def _calibration(model: ModelReport) -> str:
    value, interval = sentences.with_interval(model, "calibration_error", sentences.percent)
    return f"Calibration error {value}, interval {interval}." if interval else ""


def _elsewhere(model: ModelReport) -> str:
    if not model.generalization:
        return ""
    worst = min(model.generalization, key=lambda row: row.accuracy.value)
    severity = f" of severity {worst.severity}" if worst.severity else ""
    return f"Lowest: {sentences.percent(worst.accuracy.value)} on {worst.name}{severity}. All are in the table below."


def _arms(rows: Sequence[ArmRow]) -> str:
    told = [f"{r.name.replace('_', ' ')} {sentences.whole_percent(r.change)}, {r.verdict}" for r in rows]
    return f"Fall of the validation loss: {'; '.join(told)}."
