"""The report: one HTML file that needs nothing beside itself, neither network nor script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pipeline.errors import DataError
from pipeline.records import Estimate
from pipeline.reporting import comparison, sentences
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.style import DPI, png_bytes

# The pictures that have their place, in order: stem → heading and what is to be seen in it.
_CAPTIONS = {
    "diagnosis": (
        "Diagnosis",
        "Losses with their 95 % bands and the epochs that decided; below, the gradient of each layer from the "
        "first epoch to the last, and units that no image wakes.",
    ),
    "verification": (
        "Remedies, tried",
        "Fall of the validation loss over paired seeds, with intervals corrected for the number of arms. What the "
        "controls reach without a diagnosis is the measure.",
    ),
    "learning_curves": (
        "Learning curves",
        "Both curves falling together is healthy; validation rising while training falls is overfitting; "
        "both staying high is underfitting.",
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
        "On the diagonal the model is right as often as it says. Light bars are 95 % intervals.",
    ),
    "comparison": ("Accuracy side by side", "Where intervals overlap, the order may be chance."),
    "generalization": ("Generalisation", "The same model on images it was not trained for."),
}
_COLUMNS = (
    ("Cross-entropy", "cross_entropy", sentences.nats),
    ("Macro F1", "f1_macro", sentences.percent),
    ("Calibration error", "calibration_error", sentences.percent),
)


_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DOTS_PER_CSS_PIXEL = DPI / 96


@dataclass(frozen=True)
class Picture:
    """A picture inside the page. source: a ``data:`` URI."""

    heading: str
    caption: str
    source: str
    width: int  # CSS pixels, so that type in pictures is as large as it was drawn


def render_report(models: Sequence[ModelReport], *, title: str, generated_from: Mapping[str, str]) -> str:
    """Return the report on ``models`` as the text of one self-contained HTML file.

    The models stand in the order of their test accuracy, the best first, those without one last.
    ``generated_from`` (such as commit, data hash) is printed as given. The same input gives the same text:
    there is no date in it unless the caller puts one there. Whatever a model lacks is left out.

    Raises:
        DataError: when there is no model, two have the same name, or a picture is not a PNG.
    """
    _check(models)
    ordered = sorted(models, key=lambda m: (-m.metrics.get("test/accuracy", -1.0), m.name))
    return template("report.html.j2").render(
        title=title,
        generated_from=dict(generated_from),
        verdict=sentences.of_all(ordered),
        table=_table(ordered),
        comparison=_comparison(ordered),
        models=[_section(index, model) for index, model in enumerate(ordered, start=1)],
    )


def template(name: str) -> Template:
    """A template of this room; a value that it lacks is an error."""
    environment = Environment(
        loader=PackageLoader("pipeline.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _check(models: Sequence[ModelReport]) -> None:
    if not models:
        raise DataError("There are 0 models to report on. Train one with `pipeline train`, then evaluate it.")
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"Two models of the report are named {twice[0]!r}, but names must differ. Set name=…."
        )


def _table(models: Sequence[ModelReport]) -> list[dict[str, object]]:
    return [
        {
            "index": index,
            "name": model.name,
            "cells": [
                ("Accuracy", sentences.with_interval(model, "accuracy", sentences.percent)),
                *((label, sentences.with_interval(model, key, form)) for label, key, form in _COLUMNS),
                ("Parameters", (sentences.count(model.metrics.get("model/num_parameters")), "")),
                ("Training", (sentences.duration(model.metrics.get("train/duration_s")), "")),
            ],
        }
        for index, model in enumerate(models, start=1)
    ]


def _comparison(models: Sequence[ModelReport]) -> Picture | None:
    """The picture of all models' accuracy, or None when fewer than two have one."""
    found = [(model.name, sentences.estimate(model, "accuracy")) for model in models]
    measured: list[tuple[str, Estimate]] = [(name, each) for name, each in found if each is not None]
    return _picture("comparison", png_bytes(comparison.plot(measured))) if len(measured) > 1 else None


def _section(index: int, model: ModelReport) -> dict[str, object]:
    known = [stem for stem in _CAPTIONS if stem in model.pictures]
    others = sorted(set(model.pictures) - set(_CAPTIONS))
    return {
        "id": f"model-{index}",
        "name": model.name,
        "sentence": sentences.of_model(model),
        "diagnosis": list(model.diagnosis),
        "pictures": [_picture(stem, model.pictures[stem]) for stem in (*known, *others)],
        "generalization": [
            {
                "name": row.name,
                "severity": "–" if row.severity is None else str(row.severity),
                "accuracy": sentences.percent(row.accuracy.value),
                "interval": f"{sentences.percent(row.accuracy.low)} … {sentences.percent(row.accuracy.high)}",
                "n": sentences.count(row.accuracy.n),
                "bar": f"{100 * row.accuracy.value:.2f}",
            }
            for row in model.generalization
        ],
        "settings": dict(sorted(model.settings.items())),
        "commands": list(model.commands),
    }


def _picture(stem: str, content: bytes) -> Picture:
    if not content.startswith(_PNG_SIGNATURE):
        raise DataError(
            f"The picture {stem!r} begins with {content[:8]!r}, but it must be a PNG. Remove the file and "
            "make it again with `pipeline evaluate`."
        )
    heading, caption = _CAPTIONS.get(stem, (stem.replace("_", " ").capitalize(), ""))
    return picture(heading, caption, content)


def picture(heading: str, caption: str, content: bytes) -> Picture:
    """A PNG of ours as a part of the page."""
    width = int.from_bytes(content[16:20], "big")  # the first field of a PNG's header
    return Picture(heading, caption, _data_uri(content), round(width / _DOTS_PER_CSS_PIXEL))


def _data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
