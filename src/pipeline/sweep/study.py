"""A study of ours in its database: created, continued or found by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import optuna

from pipeline.config.words import nearest
from pipeline.errors import SpaceError, SweepError
from pipeline.files import sqlite_file
from pipeline.sweep.storage import Database, open_storage
from pipeline.sweep.trial import FOLDER

LONGEST_NAME = 255  # characters, as in the table of the budget
SPACE = "pipeline:space"  # the attribute that holds the search space with the fixed overrides


def study_name_for(signature: Mapping[str, Any], directions: list[str], prefix: str) -> str:
    """Return a name from a hash of the search, so that the same command finds its study again."""
    search = json.dumps([signature, directions], sort_keys=True)
    return f"{prefix}-{hashlib.sha256(search.encode()).hexdigest()[:8]}"


def study_names(storage: str) -> list[str]:
    """Return the names of all studies of a database; none where its file is not there yet."""
    file = sqlite_file(storage)
    if file is not None and not file.is_file():
        return []
    return optuna.get_all_study_names(open_storage(storage).storage)


def open_study(
    database: Database,
    name: str,
    *,
    directions: list[str],
    signature: Mapping[str, Any],
    folder: str,
) -> optuna.Study:
    """Create a study, or continue it.

    Raises `SweepError` where the study has other directions, and `SpaceError` where it has another
    search space or was made by another program, or where its name is too long.
    """
    if len(name) > LONGEST_NAME:
        raise SpaceError(
            f"study_name={name[:40]}…: has {len(name)} characters; at most {LONGEST_NAME} are "
            "kept. Take a shorter one."
        )
    study = optuna.create_study(
        storage=database.storage,
        study_name=name,
        directions=[optuna.study.StudyDirection[d.upper()] for d in directions],
        load_if_exists=True,
    )
    present = [d.name.lower() for d in study.directions]
    if present != directions:
        raise SweepError(
            f"study_name={name}: this study has direction={present}, not {directions}. "
            "Name another study."
        )

    attributes = study.user_attrs
    if SPACE not in attributes:
        if study.get_trials(deepcopy=False):
            raise SpaceError(f"study_name={name}: was made by another program. Name another study.")
        study.set_user_attr(FOLDER, folder)
        study.set_user_attr(SPACE, dict(signature))
        return study

    wanted = json.loads(json.dumps(signature))
    if attributes[SPACE] != wanted:
        difference = _difference(attributes[SPACE], wanted)
        raise SpaceError(f"study_name={name}: {difference}. Name another study.")
    return study


def load_study(database: Database, name: str, **parts: Any) -> optuna.Study:
    """Return an existing study. Raises `SpaceError` with the names that exist where there is none.

    parts: ``sampler`` and ``pruner``, as `optuna.load_study` takes them.
    """
    try:
        return optuna.load_study(study_name=name, storage=database.storage, **parts)
    except KeyError as error:
        known = optuna.get_all_study_names(database.storage)
        hint = nearest(name, known, prefix="study=") if known else ". None is known."
        raise SpaceError(f"study={name}: there is no such study{hint}") from error


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    old_parameters, new_parameters = old["parameters"], new["parameters"]
    for key in sorted({*old_parameters, *new_parameters}):
        if key not in new_parameters:
            return f"this study sweeps {key} too"
        if key not in old_parameters:
            return f"this study does not sweep {key}"
        if old_parameters[key] != new_parameters[key]:
            return f"this study has another search space for {key}"
    seeds = [each.get("seeds_per_trial", 1) for each in (old, new)]
    if seeds[0] != seeds[1]:
        return f"this study has seeds_per_trial={seeds[0]}, not {seeds[1]}"
    changed = sorted(set(old["fixed"]) ^ set(new["fixed"]))
    return f"this study was made with other overrides ({', '.join(changed)})"
