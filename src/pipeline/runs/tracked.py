"""The tracked run of a training in MLflow: opened, filled, ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipeline.config import RunConfig
from pipeline.data.batches import standardisation
from pipeline.records import DataCard, Prepared
from pipeline.runs import provenance
from pipeline.runs.role import Role
from pipeline.runs.train_once import TrainedRun
from pipeline.tracking import MODEL_TAG, NoRun, Run, new_key, open_tracker
from pipeline.training.checkpoints import ResumeFolder


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
        yield run


def record_trained(
    run: Run, trained: TrainedRun, data: Prepared, files: Sequence[Path], *, weights_sha256: str
) -> None:
    """Record how a run ended, the numbers of its kept epoch, its data and its files."""
    summary = {f"training.{key}": str(value) for key, value in asdict(trained.summary).items()}
    run.set_tags({MODEL_TAG: weights_sha256, **summary})
    record_kept(run, trained)

    card = data.card
    counts = {split: list(numbers) for split, numbers in card.class_counts.items()}
    run.log_dataset(
        name=card.name,
        digest=provenance.data_sha256(card),
        source=f"data/processed/{card.name}",
        profile={"class_counts": counts},
    )
    run.log_files(files)


def record_kept(run: Run, trained: TrainedRun) -> None:
    """Record the metrics of the kept epoch, as ``kept/…``."""
    kept: Mapping[str, float] = {f"kept/{k}": v for k, v in trained.kept.metrics.items()}
    run.log_metrics(kept, step=trained.kept.epoch + 1)


def record_network(run: Run, trained: TrainedRun, data: Prepared) -> None:
    """Record the network as a model that MLflow can load and serve."""
    shift, scale = standardisation(data.card.mean, data.card.std)
    pixels = data.val.images[:4].astype(np.float32)
    example = (shift.numpy() + scale.numpy() * pixels).astype(np.float32)
    # The requirements are given: MLflow takes 13 s to find them.
    needed = [f"{name}=={version(name)}" for name in ("torch", "numpy", "mlflow")]
    run.log_model(trained.network, example, requirements=needed)
