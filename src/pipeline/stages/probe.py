"""Probes of the stage ``diagnose``: short runs from a model's weights settle what its curves leave open."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.schema import Settings
from pipeline.data.prepare import take
from pipeline.data.store import load_card, load_split
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.as_json import to_json
from pipeline.diagnosis.probes import Settled, as_json, settle
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.diagnosis.remedies import remedies
from pipeline.errors import DataError, ModelError
from pipeline.evaluation.tables import read_history_csv
from pipeline.files import write_atomically
from pipeline.models.build import build_network
from pipeline.models.saved import SavedModel, load_model
from pipeline.records import DataCard, Prepared
from pipeline.reporting import diagnosis_plot, probe_plot, probe_text
from pipeline.reporting.style import png_bytes
from pipeline.stages import provenance
from pipeline.stages.diagnose import read_own, record, tell
from pipeline.stages.train import architecture
from pipeline.training import forks


def probe_model(name: str, *, root: Path, epochs: int | None = None, output: str = "text") -> Settled:
    """Diagnose ``results/<name>/`` by its curves and by probes.

    Writes what `diagnose_model` does, and ``probes.json`` and ``probes.png``, when all probes have run; until
    then nothing. The model and the test part are not touched.
    epochs: length of a fork; None for a quarter of the run, see `forks.plan`.
    Raises `DataError` or `ModelError` where history, weights or data are missing, or do not belong together.
    """
    history, told = read_own(name, root=root)
    folder = root / "models" / name
    if not told and (folder / "model.json").is_file():
        raise ModelError(
            f"models/{name}: its weights are of an earlier run; the last one diverged and left none to start from. "
            f"Diagnose it without probe=true, or train again: pipeline train name={name}"
        )
    model = load_model(folder)
    say: Callable[[str], None] = partial(print, flush=True, file=sys.stderr if output == "json" else None)
    trained, planned = _prepared(model, history.context.kept_epoch, epochs=epochs, name=name, root=root)
    about = f", about {planned.seconds:.0f} s" if np.isfinite(planned.seconds) else ""
    say(
        f"{name}: {planned.num_runs} short runs at most, forks of {_length(planned)}; "
        f"{planned.shown_images:,} images in all{about}"
    )
    wide, lacking = _wider(model.settings, trained.card)
    outcome = forks.run(trained, planned, wide=wide, lacking=lacking, say=lambda line: say(f"  {line}"))
    settled = settle(diagnose(history), evidence_of(outcome))
    found = settled.after
    offered = remedies(found.findings, history.context.settings)
    probes = as_json.weighed(settled)
    values = {**to_json(found, offered), "probes": probes}
    measured = {
        "name": name,
        "weights_sha256": model.weights_sha256,
        **as_json.measured(outcome),
        **probes,
    }
    results = root / "results" / name
    contents = {
        "probes.json": _json(measured),
        "probes.png": png_bytes(probe_plot.plot(outcome, settled)),
        "diagnosis.json": _json(values),
        "diagnosis.png": png_bytes(diagnosis_plot.plot(history, found)),
    }
    files = [results / file for file in contents]
    for file, content in zip(files, contents.values(), strict=True):
        write_atomically(file, content)
    record(told, found, files, root=root)
    if output == "json":
        print(json.dumps(values, indent=2))
    else:
        tell(found, offered, history.context.settings, root=root, output=output)
        probe_text.show(settled)
    return settled


def _prepared(
    model: SavedModel, kept: int | None, *, epochs: int | None, name: str, root: Path
) -> tuple[forks.Trained, forks.Plan]:
    settings = model.settings
    data = root / "data" / "processed" / settings.data.name
    card = load_card(data)
    if provenance.data_sha256(card) != model.data_sha256:
        raise DataError(
            f"data/processed/{card.name}: is not what models/{name} was trained on. Prepare that data again, or "
            f"train again: pipeline train name={name}"
        )
    train, val = load_split(data, "train"), load_split(data, "val")
    unread = take(val, np.arange(0))
    part = forks.training_part(settings, Prepared(train=train, val=val, test=unread, card=card))
    rows = read_history_csv(root / "results" / name / "history.csv")
    row = next((r for r in rows if r.epoch == kept), rows[-1])
    speeds = [r.metrics.get("time/images_per_s", float("nan")) for r in rows]
    trained = forks.Trained(
        network=model.network,
        fresh=build_network(architecture(settings, card), seed=settings.seed + 1),
        settings=settings,
        card=card,
        part=part,
        val=val,
        last_rate=row.metrics.get("learning_rate", settings.optimizer.learning_rate),
        kept_is_last=row is rows[-1],
    )
    planned = forks.plan(
        num_train=len(part),
        epochs_done=len(rows),
        images_per_s=float(np.median(speeds)),
        epochs=epochs,
        widened=_wider(settings, card)[0] is not None,
    )
    return trained, planned


def _wider(settings: Settings, card: DataCard) -> tuple[Any, str]:
    """An untrained network with twice the units of every hidden layer; or None, and why there is none."""
    width = getattr(settings.model, "width", None)
    if not isinstance(width, int):
        return None, f"model={settings.model.name} has no width"
    changed = {"width": 2 * width}
    dense = getattr(settings.model, "dense", 0)
    if isinstance(dense, int) and dense:
        changed["dense"] = 2 * dense
    wider = settings.model_copy(update={"model": settings.model.model_copy(update=changed)})
    return build_network(architecture(wider, card), seed=settings.seed + 1), ""


def _length(planned: forks.Plan) -> str:
    epochs = f"{planned.epochs} epoch{'s' if planned.epochs > 1 else ''}"
    return f"{epochs} of {planned.num_images:,} images"


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()
