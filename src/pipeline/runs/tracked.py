"""The tracked run of a training in MLflow: opened, filled, ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.config import RunConfig
from pipeline.models.inference import network_inputs
from pipeline.records import DataCard, EpochRecord, Prepared, SignalRecord
from pipeline.runs import provenance
from pipeline.runs.note import GRADIENT_NORM, GRADIENT_NORM_CURVE, curves, of_training
from pipeline.runs.role import Role
from pipeline.runs.train_once import TrainedRun
from pipeline.tracking import (
    MODEL_TAG,
    NOTE_TAG,
    KeptGraphs,
    NoRun,
    Run,
    new_key,
    open_tracker,
    system_metrics,
)
from pipeline.training.checkpoints import ResumeFolder
from pipeline.training.signal_metrics import moments_of, table_of

SIGNALS_TABLE = "signals.csv"

NUM_EXAMPLES = 4


@contextmanager
def tracked_run(
    config: RunConfig, card: DataCard, *, role: Role, resume: ResumeFolder, root: Path
) -> Iterator[Run]:
    """Open the run of a training, or resume the one of a killed process; end it in any case.

    Yields a `NoRun` where tracking is off. Raises `TrackingError` for an
    address that can never be a store, and ``OSError`` where the journal cannot be written.
    """
    tracker = open_tracker(config.settings.tracking, root=root)
    if tracker is None:
        yield NoRun()
        return
    key = role.run_key(resume.read_note()) or new_key()
    resume.write_note({"run_id": key})  # before the run is opened: a kill in between loses none
    with tracker.recording(
        role.title(config.settings.name),
        tags={**provenance.tags(config.values, card, root=root), **role.tags()},
        params=config.values,
        key=key,
        status_of=role.status_of,
    ) as run:
        role.opened(run.key)
        with system_metrics(run) if config.settings.tracking.system_metrics else nullcontext():
            yield run


def record_trained(
    run: Run, trained: TrainedRun, data: Prepared, files: Sequence[Path], *, weights_sha256: str
) -> None:
    """Record how a run ended, the numbers of its kept epoch, its data and its files."""
    course = {
        **asdict(trained.summary),
        "seconds": trained.seconds,
        "resumed_from_epoch": trained.resumed_from,
    }
    summary = {f"training.{key}": str(value) for key, value in course.items()}
    note = of_training(trained.kept.metrics, trained.diagnosis)
    run.set_tags({MODEL_TAG: weights_sha256, NOTE_TAG: note, **summary})
    record_kept(run, trained, data.card)

    card = data.card
    counts = {split: list(numbers) for split, numbers in card.class_counts.items()}
    run.log_dataset(
        name=card.name,
        digest=provenance.data_sha256(card),
        source=f"data/processed/{card.name}",
        profile={"class_counts": counts},
    )
    run.log_files(files)


class Curves:
    """Records what MLflow shows of each epoch as curves: few, and the most wanted ones first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._signals: dict[int, float] = {}

    def begin_with(self, epochs: Sequence[EpochRecord], signals: SignalRecord | None) -> None:
        """Record the epochs of an earlier run with which this one goes on."""
        for moment in moments_of(signals) if signals else ():
            self.of_signals(moment)
        for row in epochs:
            self.of_epoch(row)

    def of_signals(self, row: EpochRecord) -> None:
        """Take the one signal that becomes a curve; it waits for the epoch's other numbers."""
        if GRADIENT_NORM in row.metrics:
            self._signals[row.epoch] = row.metrics[GRADIENT_NORM]

    def of_epoch(self, row: EpochRecord) -> None:
        """Record the curves of an epoch."""
        norm = self._signals.pop(row.epoch, None)
        metrics = curves(row.metrics) | ({} if norm is None else {GRADIENT_NORM_CURVE: norm})
        self._run.log_epoch(replace(row, metrics=metrics))


def record_signals(run: Run, signals: SignalRecord) -> None:
    """Record the numbers of all signals as a table, which MLflow shows as one."""
    if len(signals.arrays["epochs"]):
        run.log_text(table_of(signals), SIGNALS_TABLE)


def record_kept(run: Run, trained: TrainedRun, card: DataCard | None = None) -> None:
    """Record the validation's numbers at the kept epoch, as ``kept/…``.

    The last point of a curve, which MLflow's table of runs shows, may be another epoch.
    card: of the data; the numbers are then also those of the run's logged model.
    """
    numbers = trained.kept.metrics
    kept = {f"kept/{name}": value for name, value in numbers.items() if name.startswith("val/")}
    data = (card.name, provenance.data_sha256(card)) if card else None
    run.log_metrics(kept, step=trained.kept.epoch + 1, data=data)


def record_network(
    run: Run,
    network: nn.Module,
    card: DataCard,
    images: np.ndarray,
    *,
    name: str,
    sha256: str,
    root: Path,
) -> None:
    """Record a network as a model that MLflow can show, load and serve.

    images: two or more, ``[N, C, H, W]`` uint8; the first four are its example.
    name: of the model.  sha256: of its weights.  root: of the project.
    """
    run.log_model(
        network,
        network_inputs(images[:NUM_EXAMPLES], mean=card.mean, std=card.std),
        name=name,
        weights_sha256=sha256,
        # The requirements are given: MLflow takes 13 s to find them.
        requirements=[f"{package}=={version(package)}" for package in ("torch", "numpy", "mlflow")],
        metadata={
            "name": name,
            "weights_sha256": sha256,
            "data": card.name,
            "data_sha256": provenance.data_sha256(card),
            "test_sha256": card.sha256["test"],
            "class_names": list(card.class_names),
            "mean": list(card.mean),
            "std": list(card.std),
            "inputs": "images as floats: (pixel / 255 - mean) / std, for each channel",
        },
        graphs=KeptGraphs(root),
    )
