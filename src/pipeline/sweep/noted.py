"""Studies that carry a note of the task they belong to: found by it, whether or not they ended.

A note is written before the first trial. So every trial of such a study is known by it, wherever
the process is killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from pipeline.sweep.analysis import FinishedTrial, finished_trials
from pipeline.sweep.storage import open_storage, readable_errors
from pipeline.sweep.study import load_study, study_names
from pipeline.sweep.trial import FOLDER, PARENT_RUN, RUN_ID

_NOTE, _ENDED = "pipeline:note", "pipeline:note_ended"
_TITLE = "pipeline:title"


@dataclass(frozen=True)
class NotedStudy:
    """One study with its note.

    ended: whether its sweep came to its end.  folder: of its trials; None before the sweep began.
    parent_run: key of its run in MLflow.  trials: that ended, each with the key of its run there.
    """

    name: str
    note: Mapping[str, Any]
    ended: bool
    folder: Path | None
    parent_run: str | None
    trials: tuple[tuple[FinishedTrial, str | None], ...]


_note: Mapping[str, Any] | None = None
_title = ""


@contextlib.contextmanager
def noting(note: Mapping[str, Any], *, title: str) -> Iterator[None]:
    """Let every sweep of this block write a note into its study.

    note: JSON values.  title: the study's name for people.
    """
    global _note, _title
    _note, _title = note, title
    try:
        yield
    finally:
        _note, _title = None, ""


def write_note(study: optuna.Study) -> None:
    """Write the note of this block, if there is one, into a study that has no trial yet."""
    if _note is not None:
        study.set_user_attr(_NOTE, dict(_note))
        study.set_user_attr(_TITLE, _title)


def title_of(study: optuna.Study) -> str:
    """Return the name of a study for people: the title of its note, or its own name."""
    return str(study.user_attrs.get(_TITLE, study.study_name))


def write_end(study: optuna.Study) -> None:
    """Note that the sweep of a study came to its end."""
    if _note is not None:
        study.set_user_attr(_ENDED, True)


def noted_studies(storage: str, *, prefix: str) -> list[NotedStudy]:
    """Return the studies with a note whose names begin with ``prefix``, in the order of names.

    None where the database is not there yet. Raises `SweepError` where it cannot be reached.
    """
    names = sorted(name for name in study_names(storage) if name.startswith(prefix))
    with readable_errors(storage):
        database = open_storage(storage) if names else None
        studies = [load_study(database, name) for name in names] if database else []
        return [_noted(study) for study in studies if _NOTE in study.user_attrs]


def _noted(study: optuna.Study) -> NotedStudy:
    attributes = study.user_attrs
    trials = finished_trials(study)
    run_of = {t.number: t.user_attrs.get(RUN_ID) for t in study.get_trials(deepcopy=False)}
    folder = attributes.get(FOLDER)
    return NotedStudy(
        name=study.study_name,
        note=attributes[_NOTE],
        ended=bool(attributes.get(_ENDED)),
        folder=Path(folder) if folder else None,
        parent_run=attributes.get(PARENT_RUN),
        trials=tuple((trial, run_of[trial.number]) for trial in trials),
    )
