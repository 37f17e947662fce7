"""Probes: short runs from a model's weights that settle the verdict which its curves leave open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from pipeline.config.schema import Settings
from pipeline.data.prepare import take
from pipeline.data.store import load_card, load_split
from pipeline.diagnosis import Diagnosis, History, diagnose
from pipeline.diagnosis.probes import Outcome, settle
from pipeline.diagnosis.probes.plan import ProbePlan, plan
from pipeline.diagnosis.probes.record import ProbesRecord, probes_record
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.errors import DataError, ModelError
from pipeline.evaluation.model_description import ModelDescription
from pipeline.models.build import build_network, trains_itself
from pipeline.models.saved import SavedModel, load_model
from pipeline.records import DataCard, EpochRecord, Prepared
from pipeline.runs.files import RunFiles
from pipeline.runs.history import read_run
from pipeline.runs.network import architecture
from pipeline.runs.probe_parts import ProbeParts
from pipeline.runs.probe_plan import median_speed
from pipeline.runs.provenance import data_sha256
from pipeline.training import forks


@dataclass(frozen=True)
class ProbeSetup:
    """A model and its short runs, ready to start.

    wide: an untrained network with twice the units; None where there is none, and ``lacking``
    gives the reason.
    """

    name: str
    history: History
    model: ModelDescription
    trained: forks.Trained
    plan: ProbePlan
    parts: ProbeParts
    wide: nn.Module | None
    lacking: str

    @property
    def summary(self) -> str:
        """The number, length and cost of the short runs, in one line."""
        plan = self.plan
        epochs = f"{plan.epochs} epoch{'s' if plan.epochs > 1 else ''}"
        goes_on = f"; goes on after {len(self.parts)} finished parts" if len(self.parts) else ""
        return (
            f"{self.name}: {plan.num_runs} short runs at most, "
            f"forks of {epochs} of {plan.num_images:,} images; "
            f"{plan.shown_images:,} images in all{plan.time}{goes_on}"
        )


@dataclass(frozen=True)
class Probed:
    """The results of the short runs.

    diagnosis: by curves and probes together.  record: for ``probes.json``.
    """

    outcome: Outcome
    diagnosis: Diagnosis
    record: ProbesRecord


def prepare_probes(name: str, *, root: Path, epochs: int | None = None) -> ProbeSetup:
    """Read a trained model with its history and data, and plan its short runs.

    epochs: length of a fork; None for a quarter of the run, see `ProbePlan`.
    The test part of the data is not read. Raises `DataError` or `ModelError` where history, weights
    or data are missing, or are not of one run.
    """
    run = read_run(name, root=root)
    model = load_model(root / "models" / name)
    if run.model is None:
        raise ModelError(
            f"models/{name}: its weights are of an earlier run. The last run diverged and left no "
            "weights to start from. Diagnose it without probe=true, or train again: "
            f"pipeline train name={name}"
        )
    if trains_itself(model.network):
        raise ModelError(
            f"models/{name}: trains itself by its own steps. Probes train by the pipeline's, so "
            "they would say nothing about it. Diagnose it without probe=true."
        )
    settings = model.settings
    data = root / "data" / "processed" / settings.data.name
    card = load_card(data)
    _check_data(name, model, card)

    rows = RunFiles(root, name).read_history()
    trained = _trained(model, rows, card, data, kept_epoch=run.history.context.kept_epoch)
    wide, lacking = _twice_as_wide(settings, card)
    planned = plan(
        num_train=len(trained.part),
        epochs_done=len(rows),
        images_per_s=median_speed(rows),
        epochs=epochs,
        widened=wide is not None,
    )
    deciding = (run.model.weights_sha256, model.data_sha256, planned.epochs, planned.num_images)
    return ProbeSetup(
        name=name,
        history=run.history,
        model=run.model,
        trained=trained,
        plan=planned,
        parts=ProbeParts(name, deciding, root=root),
        wide=wide,
        lacking=lacking,
    )


def run_probes(setup: ProbeSetup, *, report: Callable[[str], None]) -> Probed:
    """Run all probes, and settle the diagnosis by their evidence; only finished parts are written.

    report: is called with one line after each group of short runs.
    """
    outcome = forks.run(
        setup.trained,
        setup.plan,
        wide=setup.wide,
        lacking=setup.lacking,
        report=report,
        parts=setup.parts,
    )
    history = setup.history
    settings = history.context.settings
    diagnosis = settle(diagnose(history), evidence_of(outcome), settings=settings)
    assert diagnosis.probes is not None
    record = probes_record(
        outcome, diagnosis.probes, name=setup.name, weights_sha256=setup.model.weights_sha256
    )
    return Probed(outcome, diagnosis, record)


def _check_data(name: str, model: SavedModel, card: DataCard) -> None:
    if data_sha256(card) != model.data_sha256:
        raise DataError(
            f"data/processed/{card.name}: is not the data that models/{name} was trained on. "
            f"Prepare that data again, or train again: pipeline train name={name}"
        )


def _trained(
    model: SavedModel,
    rows: Sequence[EpochRecord],
    card: DataCard,
    data: Path,
    *,
    kept_epoch: int | None,
) -> forks.Trained:
    settings = model.settings
    train, val = load_split(data, "train"), load_split(data, "val")
    no_test = take(val, np.arange(0))
    prepared = Prepared(train=train, val=val, test=no_test, card=card)
    kept = next((row for row in rows if row.epoch == kept_epoch), rows[-1])
    return forks.Trained(
        network=model.network,
        fresh=build_network(architecture(settings, card), seed=settings.seed + 1),
        settings=settings,
        card=card,
        part=forks.training_part(settings, prepared),
        val=val,
        last_rate=kept.metrics.get("learning_rate", settings.optimizer.learning_rate),
        kept_is_last=kept is rows[-1],
    )


def _twice_as_wide(settings: Settings, card: DataCard) -> tuple[nn.Module | None, str]:
    """An untrained network with twice the units of every hidden layer; or None, and the reason."""
    width = getattr(settings.model, "width", None)
    if not isinstance(width, int):
        return None, f"model={settings.model.name} has no width"
    changed = {"width": 2 * width}
    dense = getattr(settings.model, "dense", 0)
    if isinstance(dense, int) and dense:
        changed["dense"] = 2 * dense
    wider = settings.model_copy(update={"model": settings.model.model_copy(update=changed)})
    return build_network(architecture(wider, card), seed=settings.seed + 1), ""
