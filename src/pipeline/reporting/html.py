"""The report: one HTML file that needs nothing beside itself, neither network nor script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pipeline.errors import DataError
from pipeline.records import Estimate
from pipeline.reporting import comparison, pictures, sentences
from pipeline.reporting.model_report import (
    HealingReport,
    ModelReport,
    ProofReport,
    VerdictReport,
)
from pipeline.reporting.pictures import Picture
from pipeline.reporting.style import PHONE, WIDE, png_bytes

_COLUMNS = (
    ("Cross-entropy", "cross_entropy", sentences.nats),
    ("Macro F1", "f1_macro", sentences.percent),
    ("Calibration error", "calibration_error", sentences.percent),
)
_MOST_WAYS = 3  # so many remedies are shown at once, the others on demand
# A verdict's tone: of its badge.
_TONES = {"healthy": "good", "undetermined": "open", "confirmed": "good", "harmful": "bad"}


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
    if len(measured) < 2:
        return None
    wide, narrow = (png_bytes(comparison.plot(measured, width=width)) for width in (WIDE, PHONE))
    return pictures.comparison(wide, narrow, models)


def _section(index: int, model: ModelReport) -> dict[str, object]:
    diagnosis, proof, healing = model.diagnosis, model.proof, model.healing
    accuracy, interval = sentences.with_interval(model, "accuracy", sentences.percent)
    return {
        "id": f"model-{index}",
        "name": model.name,
        "lead": sentences.of_verdict(diagnosis, proof) if diagnosis else sentences.of_model(model),
        "sentence": sentences.of_model(model) if diagnosis else "",
        "accuracy": accuracy,
        "interval": interval,
        "badge": _badge(diagnosis.verdict) if diagnosis else None,
        "why": _why(diagnosis) if diagnosis else None,
        "proof": _proof(model, proof) if proof else None,
        "healing": _healing(healing) if healing else None,
        "training": pictures.of_model(model, pictures.TRAINING),
        "test": pictures.of_model(model, pictures.TEST),
        "elsewhere": pictures.of_model(model, pictures.ELSEWHERE),
        "others": pictures.others(model),
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


def _badge(verdict: str) -> dict[str, str]:
    return {"text": sentences.words(verdict), "tone": _TONES.get(verdict, "bad")}


def _why(diagnosis: VerdictReport) -> dict[str, object]:
    ways = [{"name": sentences.words(w.name), "why": w.why, "command": w.command} for w in diagnosis.ways]
    open_ = [sentences.words(v) for v in diagnosis.undecided]
    return {
        "harm": diagnosis.harm,
        "evidence": [
            {
                "what": e.what,
                "value": sentences.three_digits(e.value, e.unit),
                "interval": ""
                if e.low == e.high or e.value is None
                else f"{sentences.three_digits(e.low)} … {sentences.three_digits(e.high)}",
                "limit": sentences.limit(e),
            }
            for e in diagnosis.evidence
        ],
        "ways": ways[:_MOST_WAYS],
        "more_ways": ways[_MOST_WAYS:],
        "verify": diagnosis.verify,
        "undecided": ", ".join(open_),
        "not_run": {sentences.words(v): missing for v, missing in diagnosis.not_run.items()},
    }


def _proof(model: ModelReport, proof: ProofReport) -> dict[str, object]:
    return {
        "sentence": proof.sentence,
        "pictures": pictures.of_model(model, ("verification",)),
        "rows": [
            {
                "name": sentences.words(row.name),
                "change": sentences.whole_percent(row.change),
                "n": str(row.change.n),
                "p": "" if row.p_value is None else f"{row.p_value:.2g}",
                "badge": {"text": row.verdict, "tone": _TONES.get(row.verdict, "open")},
                "symptom": "" if row.symptom is None else f"{row.symptom:.0%}",
                "needed": "" if row.seeds_needed is None else f"about {row.seeds_needed} seeds would decide",
            }
            for row in proof.rows
        ],
        "command": proof.command,
    }


def _healing(healing: HealingReport) -> dict[str, object]:
    return {
        "steps": [
            {
                "badge": _badge(step.verdict),
                "confidence": f"{step.confidence:.2f}",
                "adopted": sentences.words(step.adopted),
                "overrides": step.overrides,
                "proof": step.proof,
            }
            for step in healing.steps
        ],
        "badge": _badge(healing.verdict),
        "end": "" if healing.end == healing.verdict else healing.end.replace("_", " "),
        "command": healing.command,
    }
