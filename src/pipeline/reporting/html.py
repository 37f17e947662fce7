"""The report: one HTML file that needs nothing beside itself, neither network nor script.

The templates draw the records of a `ModelReport` themselves, with the filters of `FILTERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from pipeline.errors import DataError
from pipeline.records import Estimate
from pipeline.reporting import comparison, condition_text, pictures, sentences
from pipeline.reporting.forest import rows_of
from pipeline.reporting.kept_pictures import Album
from pipeline.reporting.model_report import ModelReport
from pipeline.reporting.pictures import Picture
from pipeline.reporting.seed_groups import GroupReport
from pipeline.reporting.seed_groups import rows_of as rows_of_groups
from pipeline.reporting.style import PHONE, WIDE

FILTERS: Mapping[str, Callable[..., Any]] = {
    "words": sentences.words,
    "tone": sentences.tone,
    "percent": sentences.percent,
    "whole_percent": sentences.whole_percent,
    "count": sentences.count,
    "measured": condition_text.measured,
    "bounds": condition_text.bounds,
    "p_heading": sentences.p_heading,
    "lead": sentences.lead,
    "numbers": sentences.numbers,
    "of_model": sentences.of_model,
    "pictures": pictures.of_model,
    "other_pictures": pictures.others,
    "forest_rows": rows_of,
}
_PLACES = {"TRAINING": pictures.TRAINING, "TEST": pictures.TEST, "ELSEWHERE": pictures.ELSEWHERE}


def render_report(
    models: Sequence[ModelReport],
    *,
    title: str,
    generated_from: Mapping[str, str],
    root: Path,
    seed_groups: Sequence[GroupReport] = (),
) -> str:
    """Return the report on ``models`` as the text of one self-contained HTML file.

    Models of one test set are ranked: the highest test accuracy first, models without one last.
    Models of different test sets stand apart. A part that a model lacks is left out. The same input
    gives the same text: it holds no date.

    Args:
        generated_from: printed as given, such as a commit or a hash of the data.
        root: of the project, which keeps pictures.
        seed_groups: settings that were trained with several seeds.

    Raises:
        DataError: when there is neither model nor group, two models have the same name, or a
            picture is not a PNG.
    """
    if not seed_groups:
        _check_any(models)
    _check(models)
    groups = _by_test_set(models, root=root)
    ordered = [model for group in groups for model in group.models]
    return template("report.html.j2").render(
        title=title,
        generated_from=dict(generated_from),
        groups=groups,
        models=ordered,
        seed_groups=rows_of_groups(seed_groups),
        places={model.name: place for place, model in enumerate(ordered, start=1)},
        **_PLACES,
    )


@dataclass(frozen=True)
class _Group:
    """Models that were measured on one test set, the best first.

    on: the name of the test set; empty where it is not known.
    """

    on: str
    models: Sequence[ModelReport]
    verdict: str
    comparison: Picture | None


def _by_test_set(models: Sequence[ModelReport], *, root: Path) -> list[_Group]:
    """Return the models of each test set, the test set with the most models first."""
    by_set: dict[str, list[ModelReport]] = {}
    for model in models:
        on = model.test_set
        by_set.setdefault((on.sha256 or on.data) if on else "", []).append(model)
    groups = []
    for members in by_set.values():
        best_first = sorted(members, key=lambda m: (-m.metrics.get("test/accuracy", -1.0), m.name))
        on = best_first[0].test_set
        verdict = sentences.of_all(best_first)
        groups.append(
            _Group(on.data if on else "", best_first, verdict, _comparison(best_first, root))
        )
    groups.sort(key=lambda group: (-len(group.models), group.on, group.models[0].name))
    return groups


@cache
def template(name: str) -> Template:
    """Return a template of this room. A value that the template lacks is an error."""
    environment = Environment(
        loader=PackageLoader("pipeline.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template(name)


def _check_any(models: Sequence[ModelReport]) -> None:
    if not models:
        raise DataError(
            "There are 0 models to report on. Train one with `pipeline train`, then evaluate it."
        )


def _check(models: Sequence[ModelReport]) -> None:
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"Two models of the report are named {twice[0]!r}, but names must differ. Set name=…."
        )


def _comparison(models: Sequence[ModelReport], root: Path) -> Picture | None:
    """Return the picture of all models' accuracy, or None when fewer than two have one."""
    measured: list[tuple[str, Estimate]] = []
    for model in models:
        accuracy = sentences.estimate(model, "accuracy")
        if accuracy is not None:
            measured.append((model.name, accuracy))
    if len(measured) < 2:
        return None
    album = Album(root)
    wide, narrow = (album.png(comparison.plot, measured, width=width) for width in (WIDE, PHONE))
    return pictures.comparison(wide, narrow, models)
