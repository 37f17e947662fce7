"""The name of a run: whose model lies there, and who trains it at this moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.config import RunConfig
from pipeline.config.compose import flat
from pipeline.errors import ConfigError, DataError, ModelError
from pipeline.evaluation.model_description import ModelDescription
from pipeline.runs.files import RunFiles
from pipeline.runs.provenance import WITHOUT_EFFECT_ON_WEIGHTS

# A stage whose DVC was killed needs some seconds to end; the next `dvc repro` waits for it.
WAIT_UNDER_DVC_S = 30.0
MOST_DIFFERENCES_SHOWN = 3


def check_free(config: RunConfig, *, root: Path) -> None:
    """Raise `ConfigError` where ``models/<name>`` was trained with other settings.

    The same settings may train again: that repeats the run.
    """
    name = config.settings.name
    model = recorded(name, root=root)
    differing = _differences(model.settings, config.values) if model else []
    if not differing:
        return
    shown = ", ".join(differing[:MOST_DIFFERENCES_SHOWN])
    more = len(differing) - MOST_DIFFERENCES_SHOWN
    shown += f" and {more} more" if more > 0 else ""
    raise ConfigError(
        f"name={name}: models/{name} was trained with other settings ({shown}). "
        f"Keep both with name={free_name(name, root=root)}, or replace it with overwrite=true"
    )


def free_name(name: str, *, root: Path) -> str:
    """Return ``<name>_2``, or the first number under which nothing was trained."""
    number = 2
    while any((root / place / f"{name}_{number}").exists() for place in ("models", "results")):
        number += 1
    return f"{name}_{number}"


@contextmanager
def held(name: str, *, root: Path) -> Iterator[None]:
    """Hold the name while its run trains. Raises `ConfigError` where another process holds it."""
    folder = root / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"name-{name}.lock")
    try:
        lock.acquire(timeout=WAIT_UNDER_DVC_S if os.environ.get("DVC_STAGE") else 0)
    except Timeout as error:
        raise ConfigError(
            f"name={name}: another process trains models/{name} at this moment. "
            f"Wait until it ends, or choose another name: name={free_name(name, root=root)}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def recorded(name: str, *, root: Path) -> ModelDescription | None:
    """Return the description of the model of this name; None where none can be read."""
    try:
        return RunFiles(root, name).read_description()
    except (DataError, ModelError):
        return None  # a damaged model: training it again is the way out


def differing_keys(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the settings that decide the weights and are not equal.

    A setting that is null is the same as one that an earlier version did not have.
    """
    before, after = _deciding(then), _deciding(now)
    keys = dict.fromkeys([*after, *before])
    return [key for key in keys if before.get(key) != after.get(key)]


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return ``key=value, was value`` for each setting that decides the weights."""
    before, after = _deciding(then), _deciding(now)
    return [
        f"{key}={_shown(after, key)}, was {_shown(before, key)}"
        for key in differing_keys(then, now)
    ]


def _deciding(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the weights, under dotted keys, as JSON writes them."""
    written = json.loads(json.dumps(values))
    return flat({k: v for k, v in written.items() if k not in WITHOUT_EFFECT_ON_WEIGHTS})


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "nothing"
    return "null" if values[key] is None else str(values[key])
