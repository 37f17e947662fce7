"""The best trials again with fresh seeds: what is left of a lead that was chosen for being one.

Each finished run is a line of ``retrained.csv``, so that an interrupted command goes on where it was.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import Settings, compose
from pipeline.data.store import load_prepared
from pipeline.errors import TrainingError
from pipeline.files import write_atomically
from pipeline.models.build import build_network
from pipeline.records import EpochRecord, Prepared
from pipeline.stages.sweep import KIND, STUDY
from pipeline.stages.train import architecture
from pipeline.sweep.analysis import FinishedTrial, StudyRecord
from pipeline.tracking import Tracker
from pipeline.training.fit import fit

FIRST_SEED = 1000
RETRAINED, SEED, PARENT = "optuna.retrained_trial", "retrain.seed", "mlflow.parentRunId"
_HEAD = ("trial", "seed", "value")


def fresh_seeds(record: StudyRecord, count: int) -> list[int]:
    """Seeds that no trial of the study has had."""
    used = {t.params.get("seed") for t in record.trials}
    return [s for s in range(FIRST_SEED, FIRST_SEED + count + len(used)) if s not in used][:count]


def read_retrained(path: Path) -> dict[tuple[int, int], float]:
    """(trial, seed) → its value, NaN for a run that failed; empty where nothing was re-trained yet."""
    if not path.is_file():
        return {}
    with path.open(newline="") as lines:
        return {(int(r["trial"]), int(r["seed"])): float(r["value"]) for r in csv.DictReader(lines)}


def by_trial(found: Mapping[tuple[int, int], float]) -> dict[int, list[float]]:
    """Trial → its values over seeds; failed runs are left out."""
    kept: dict[int, list[float]] = {}
    for (trial, _), value in sorted(found.items()):
        if math.isfinite(value):
            kept.setdefault(trial, []).append(value)
    return kept


def retrain(
    record: StudyRecord, trials: Sequence[FinishedTrial], *, seeds: Sequence[int], path: Path, root: Path
) -> dict[tuple[int, int], float]:
    """Train every trial with every seed that ``path`` does not have yet; return all values."""
    found = read_retrained(path)
    missing = [(t, s) for t in trials for s in seeds if (t.number, s) not in found]
    data: dict[str, Prepared] = {}
    for index, (trial, seed) in enumerate(missing, start=1):
        overrides = [o for o in record.overrides(trial) if not o.startswith("seed=")]
        settings, values = compose([*overrides, f"seed={seed}"], root=root)
        name = settings.data.name
        if name not in data:
            data[name] = load_prepared(root / "data" / "processed" / name)
        found[trial.number, seed] = _value(record, trial, settings, values, data[name], root)
        lines = io.StringIO()
        rows = sorted((t, s, repr(v)) for (t, s), v in found.items())
        csv.writer(lines, lineterminator="\n").writerows([_HEAD, *rows])
        write_atomically(path, lines.getvalue().encode())
        print(
            f"[{index}/{len(missing)}] #{trial.number} seed {seed}: {found[trial.number, seed]:.5g}",
            flush=True,
        )
    return found


def _value(
    record: StudyRecord, trial: FinishedTrial, settings: Settings, values: Mapping[str, Any],
    prepared: Prepared, root: Path,
) -> float:  # fmt: skip
    network = build_network(architecture(settings, prepared.card), seed=settings.seed)
    run = None
    if settings.tracking.enabled:
        tracker = Tracker(settings.tracking.uri, experiment=settings.tracking.experiment, root=root)
        tags = {STUDY: record.name, RETRAINED: str(trial.number), SEED: str(settings.seed)}
        known = tracker.find_tagged(tags)
        tags |= {KIND: "retrain"} | ({PARENT: record.parent_run} if record.parent_run else {})
        run = tracker.start(f"#{trial.number} seed {settings.seed}", tags=tags, resume_id=known)
        if known is None:
            run.log_params(values)
    status = "KILLED"
    try:
        result = fit(network, prepared, settings=settings, observers=[run.log_epoch] if run else [])
        kept = next(row for row in result.history if row.epoch == result.kept_epoch)
        if run:
            run.log_metrics({f"kept/{k}": v for k, v in kept.metrics.items()}, step=kept.epoch + 1)
        status = "FINISHED"
        return _objective(record, kept, sum(p.numel() for p in network.parameters()), result.history)
    except TrainingError:  # a divergence is a result of this configuration, not the end of the report
        status = "FAILED"
        return math.nan
    finally:
        if run:
            run.finish(status)


def _objective(
    record: StudyRecord, kept: EpochRecord, parameters: int, history: Sequence[EpochRecord]
) -> float:
    seconds = sum(row.metrics["time/epoch_s"] for row in history)
    return float({**kept.metrics, "parameters": parameters, "seconds": seconds}[record.objectives[0]])
