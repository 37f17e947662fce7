"""The stage ``reproduce``: train a recorded run again, and say whether it came out the same, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config.validate import validate
from pipeline.data.store import load_card
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.tables import read_history_csv
from pipeline.records import EpochRecord
from pipeline.stages import provenance
from pipeline.stages.train import train
from pipeline.tracking import MODEL_TAG, read_artifact, read_tags

# What decides the bits of the weights beside settings and data, by its tag, with the way to have it again.
_DECIDING = {
    "mlflow.source.git.commit": "the code: git checkout {}",
    "environment.lock.sha256": "the packages: requirements.lock of that commit",
}
_TRAINED_ON = ("accelerator", "precision", "channels_last", "num_threads")


@dataclass(frozen=True)
class Recorded:
    """A run as its record tells it.

    settings: resolved values.  summary: on what it was trained (accelerator, precision, threads).
    tags: of where it came from; empty where only the model's files are known.
    """

    name: str
    settings: Mapping[str, Any]
    data_sha256: str
    weights_sha256: str
    history: Sequence[EpochRecord]
    summary: Mapping[str, Any]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Reproduction:
    """What training again has shown.

    same_weights: equal bit for bit.  differing: metrics of the last epoch, ``{name: (then, now)}``.
    reasons: what was different this time.  name: of the new run.
    """

    name: str
    same_weights: bool
    differing: Mapping[str, tuple[float, float]]
    reasons: Sequence[str]


def recorded_model(name: str, *, root: Path) -> Recorded:
    """Read ``models/<name>/model.json`` and ``results/<name>/history.csv``.

    Raises `DataError` where the model is missing or its description is not one.
    """
    path = root / "models" / name / "model.json"
    if not path.is_file():
        raise DataError(f"{path}: there is no such model. Name one under models/, or an MLflow run: run=<id>")
    try:
        told = json.loads(path.read_text())
        return Recorded(
            name=name,
            settings=told["settings"],
            data_sha256=told["data_sha256"],
            weights_sha256=told["weights_sha256"],
            history=read_history_csv(root / "results" / name / "history.csv"),
            summary=told["summary"],
            tags={},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a model's description ({error!r}). Train it again: pipeline train name={name}"
        ) from error


def recorded_run(run_id: str, *, uri: str, root: Path) -> Recorded:
    """Read a run of an MLflow store.

    Raises `TrackingError` where the store has no such run, `DataError` where the run made no model of ours.
    """
    tags = read_tags(run_id, uri=uri, root=root)
    with TemporaryDirectory() as folder:
        config, history = (
            read_artifact(run_id, wanted, uri=uri, root=root, folder=Path(folder))
            for wanted in (provenance.CONFIG_FILE, "history.csv")
        )
        if config is None or history is None or MODEL_TAG not in tags:
            raise DataError(
                f"run={run_id}: holds no configuration, history and model of this pipeline, so it cannot be trained "
                "again. Choose a run that ended as FINISHED."
            )
        settings = json.loads(config.read_text())
        rows = read_history_csv(history)
    trained_on = {k.removeprefix("training."): v for k, v in tags.items() if k.startswith("training.")}
    return Recorded(
        name=str(settings["name"]),
        settings=settings,
        data_sha256=tags["data.sha256"],
        weights_sha256=tags[MODEL_TAG],
        history=rows,
        summary=trained_on,
        tags=tags,
    )


def reproduce(recorded: Recorded, *, root: Path) -> Reproduction:
    """Train the run again as ``<name>_again`` and compare; the recorded run's own files stay as they are.

    Raises `DataError` where the data is not what the run was trained on: nothing else could come out the same.
    """
    card = load_card(root / "data" / "processed" / str(recorded.settings["data"]["name"]))
    found = provenance.data_sha256(card)
    if found != recorded.data_sha256:
        raise DataError(
            f"data/processed/{card.name}: its hash is {found[:12]}…, the run was trained on "
            f"{recorded.data_sha256[:12]}…. Prepare the data as it was: pipeline preprocess with the run's data."
        )
    name = f"{recorded.name}_again"
    values = {**recorded.settings, "name": name}
    try:
        settings = validate(values)
    except ConfigError as error:
        commit = recorded.tags.get("mlflow.source.git.commit")
        older = f" The run was made by an other version: git checkout {commit}" if commit else ""
        raise ConfigError(f"{error}{older}") from error
    train(settings, values, root=root, output=root)
    now = recorded_model(name, root=root)
    return Reproduction(
        name=name,
        same_weights=now.weights_sha256 == recorded.weights_sha256,
        differing=_differing(recorded.history, now.history),
        reasons=_reasons(recorded, now, provenance.tags(values, card, root=root)),
    )


def _differing(then: Sequence[EpochRecord], now: Sequence[EpochRecord]) -> Mapping[str, tuple[float, float]]:
    """Numbers of the last epoch that are not the same; times never are, and do not count."""
    before, after = (dict(rows[-1].metrics) for rows in (then, now))
    return {
        name: (before[name], after[name])
        for name in before
        if not name.startswith("time/") and name in after and before[name] != after[name]
    }


def _reasons(recorded: Recorded, now: Recorded, tags: Mapping[str, str]) -> list[str]:
    found = [
        f"{key}: {recorded.summary[key]} then, {now.summary[key]} now"
        for key in _TRAINED_ON
        if key in recorded.summary and str(recorded.summary[key]) != str(now.summary.get(key))
    ]
    for tag, way_out in _DECIDING.items():
        then = recorded.tags.get(tag)
        if then and then != tags.get(tag):
            found.append(way_out.format(then))
    if recorded.tags.get("git.dirty") == "true":
        found.append("the code had changes that were not committed")
    return found


def tell(found: Reproduction) -> None:
    """Print the outcome."""
    if found.same_weights:
        print(f"{found.name}: reproduced; the weights are the same, bit for bit")
        return
    print(f"{found.name}: not the same weights")
    for name, (then, now) in found.differing.items():
        print(f"  {name}: {then!r} then, {now!r} now")
    for reason in found.reasons:
        print(f"  different this time: {reason}")
    if not found.reasons:
        print(
            "  settings, data, code and packages are as they were: the machine is another, or its libraries"
        )


def parse(overrides: Sequence[str]) -> tuple[str, str]:
    """Return ``(name, run)``, of which exactly one is not empty."""
    given: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in ("name", "run") or not value:
            raise ConfigError(f"{override}: reproduce knows name=<model> and run=<MLflow id>.")
        given[key] = value
    if len(given) != 1:
        raise ConfigError("reproduce: give one of name=<model> and run=<MLflow id>.")
    return given.get("name", ""), given.get("run", "")
