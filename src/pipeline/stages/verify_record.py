"""The record of a verification in MLflow: one run with the arms' runs as its children, told apart by tags.

In the UI: filter ``tags.`verify.model` = 'wide'``, show the columns ``verify.arm``, ``verify.seed`` and
``diagnosis.verdict``, group by ``verify.arm``, or tick runs and compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.stages.report import PAGE, page_of
from pipeline.stages.sweep import KIND
from pipeline.stages.verify_runs import BASE, Trials
from pipeline.sweep.trial import RUN_ID
from pipeline.tracking import Run, Tracker

PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
MODEL, PART, ARM, SEED, JUDGED = (f"verify.{key}" for key in ("model", "part", "arm", "seed", "judged"))
# What the runs of a part are for, where that is not the name of an arm.
_CONTROLS = {"reseed": "control: reseeded", "search": "control: draw", "random": "control: random search"}


def record(
    trials: Trials,
    *,
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    sentence: str,
    judged: Mapping[str, str],
    files: Sequence[Path],
) -> None:
    """Write the verification's run and sort the runs of its arms under it; nothing without tracking.

    tags, metrics: of the verification.  judged: arm → confirmed, not confirmed or harmful.  files: beside
    them the model's page becomes an artifact, where the model is there.
    """
    tracking, name = trials.patient.settings["tracking"], trials.patient.name
    if not tracking["enabled"]:
        return
    tracker = Tracker(tracking["uri"], experiment=tracking["experiment"], root=trials.root)
    own = {KIND: "verification", MODEL: name, "verify.studies": trials.studies["arms"]}
    run = tracker.start(f"verify {name}", tags=own, resume_id=tracker.find_tagged(own))
    run.set_tags({**tags, NOTE: sentence})
    run.log_metrics(metrics)
    run.log_files(files)
    if (trials.root / "models" / name / "model.json").is_file():
        run.log_text(page_of(name, root=trials.root), PAGE)
    for part in trials.records:
        _sort_under(run, part, trials, tracker, judged=judged)
    run.finish()


def _sort_under(
    parent: Run, part: str, trials: Trials, tracker: Tracker, *, judged: Mapping[str, str]
) -> None:
    study = trials.records[part]
    if study.parent_run:
        tracker.reopen(study.parent_run).set_tags({PARENT: parent.run_id, PART: part})
    for trial, kept in zip(study.trials, study.frozen, strict=True):
        run_id = kept.user_attrs.get(RUN_ID)
        if run_id:
            arm, seed = trials.arm_of(part, trial)
            tracker.reopen(run_id).set_tags(
                {PARENT: parent.run_id, **_child_tags(trials, part, arm, seed, judged)}
            )


def _child_tags(trials: Trials, part: str, arm: str, seed: int, judged: Mapping[str, str]) -> dict[str, str]:
    told = _CONTROLS.get(part, arm)
    told = f"{told} {arm.rpartition('_')[2]}" if part == "search" else told
    return {
        NAME: f"{told}, seed {seed}",
        MODEL: trials.patient.name,
        PART: part,
        ARM: told,
        SEED: str(seed),
        JUDGED: "control" if part != "arms" or arm == BASE else judged.get(arm, "not confirmed"),
    }
