"""Runs that tests write by hand: histories, signals, files of models and of a sweep's jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.evaluation.model_description import ModelDescription, TrainingSummary
from pipeline.evaluation.signal_file import FILE_NAME, write_signals
from pipeline.evaluation.tables import write_history_csv
from pipeline.files import write_record
from pipeline.records import EpochRecord, SignalRecord

SUMMARY = TrainingSummary(
    parameters=1,
    epochs=1,
    kept_epoch=1,
    stopped_early=False,
    seconds=1.0,
    accelerator="cpu",
    precision="32",
    channels_last=False,
    num_threads=1,
)
_LOSSES = ("train/loss", "train/cross_entropy", "val/loss", "val/cross_entropy")


def history_rows(*losses: float, accuracy: float = 0.5) -> list[EpochRecord]:
    """One row an epoch, of 10 steps and 2 s each; all losses of an epoch are the same."""
    return [
        EpochRecord(
            epoch=epoch,
            step=10 * (epoch + 1),
            metrics={
                **dict.fromkeys(_LOSSES, loss),
                "val/accuracy": accuracy,
                "time/epoch_s": 2.0,
            },
        )
        for epoch, loss in enumerate(losses)
    ]


def gradient_signals(
    gradients: Sequence[Sequence[float]], num_weights: Sequence[int], *, num_time_steps: int = 0
) -> SignalRecord:
    """A record with these gradient norms ``[E, L]``, and of as many time steps, if any."""
    moments = len(gradients)
    arrays = {
        "epochs": np.arange(-1, moments - 1),
        "layers/gradient_norm": np.array(gradients, dtype=np.float32),
        "layers/num_weights": np.array(num_weights),
        "units/dead": np.zeros((moments, 0), dtype=np.float32),
    }
    if num_time_steps:
        over_time = np.geomspace(1e-6, 1.0, num_time_steps)
        arrays["time_step/gradient_norm"] = np.tile(over_time, (moments, 1))
    layers = [f"layer{i}" for i in range(len(num_weights))]
    return SignalRecord(arrays, {"layers": json.dumps(layers), "activations": "[]"})


def write_run(
    output: Path,
    rows: Sequence[EpochRecord],
    *,
    name: str = "mlp",
    signals: SignalRecord | None = None,
) -> None:
    """Write ``results/<name>/`` below the folder."""
    results = output / "results" / name
    write_history_csv(results / "history.csv", rows)
    if signals:
        write_signals(results / FILE_NAME, signals)


def write_description(
    output: Path, *, name: str, kept_epoch: int = 1, settings: Mapping[str, Any] | None = None
) -> None:
    """Write ``models/<name>/model.json`` below the folder, without weights."""
    description = ModelDescription(
        settings={"data": {"name": "none"}, **(settings or {})},
        data_sha256="",
        input_shape=(1, 28, 28),
        class_names=["a", "b"],
        mean=[0.0],
        std=[1.0],
        summary=replace(SUMMARY, epochs=kept_epoch, kept_epoch=kept_epoch),
        weights_sha256="",
    )
    write_record(output / "models" / name / "model.json", description)


def write_job(folder: Path, overrides: Sequence[str]) -> Path:
    """Write the folder of a multirun's job, as Hydra does; return it."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)))
    return folder
