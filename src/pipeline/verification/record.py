"""The record of a verification in MLflow: one run, with the runs of its arms as children.

In the UI: filter ``tags.`verify.model` = 'wide'``, show the columns ``verify.arm``, ``verify.seed``
and ``diagnosis.verdict``, group by ``verify.arm``, or tick runs and compare them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.diagnosis.paired_trials import NOT_CONFIRMED
from pipeline.diagnosis.proof import Verification
from pipeline.reporting.report import PAGE, page_of
from pipeline.runs.sweep_record import KIND
from pipeline.sweep.trial import VERDICT
from pipeline.tracking import Run, Tracker, new_key, open_tracker
from pipeline.verification.parts import ARMS, AS_IT_WAS
from pipeline.verification.trials import Trials
from pipeline.verification.used import TrialRun

PARENT, NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
MODEL, PART, ARM, SEED, JUDGED = (
    f"verify.{key}" for key in ("model", "part", "arm", "seed", "judged")
)
CONTROL = "control"


def record(trials: Trials, verification: Verification, *, files: Sequence[Path]) -> None:
    """Record a verification and sort its runs under it, unless tracking is off.

    files: become artifacts, beside the model's page where the model exists.
    """
    tracker = open_tracker(trials.patient.settings["tracking"], root=trials.root)
    if tracker is None:
        return
    name = verification.name
    own = {KIND: "verification", MODEL: name, "verify.studies": trials.used.studies[ARMS]}
    key = new_key("verification", name, trials.asked[ARMS])
    with tracker.recording(f"verify {name}", tags=own, params={}, key=key) as run:
        run.set_tags(_tags(verification))
        run.log_metrics(_metrics(verification))
        run.log_files(files)
        if (trials.root / "models" / name / "model.json").is_file():
            run.log_text(page_of(name, root=trials.root), PAGE)
        _sort_under(run, trials, tracker, verification)


def _tags(verification: Verification) -> dict[str, str]:
    chosen = verification.chosen
    return {
        VERDICT: verification.symptom,
        "verify.sentence": verification.sentence,
        "verify.proved": chosen.name if chosen and verification.proved else "nothing",
        NOTE: verification.sentence,
    }


def _metrics(verification: Verification) -> dict[str, float]:
    arms = {_metric_name(arm.name): arm.improvement for arm in verification.arms}
    controls = {"reseed": verification.reseed, "random": verification.random}
    every = {**arms, **{name: each for name, each in controls.items() if each}}
    return {f"improvement/{name}": reduction.value for name, reduction in every.items()}


def _metric_name(arm: str) -> str:
    """Replace every character that MLflow refuses."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in arm)


def _sort_under(parent: Run, trials: Trials, tracker: Tracker, verification: Verification) -> None:
    """Make the runs its children, also those that an earlier verification has trained."""
    for kind, study_run in trials.used.whole_studies():
        with tracker.reopened(study_run) as run:
            run.set_tags({PARENT: parent.key, PART: kind})
    judged = {arm.name: arm.verdict for arm in verification.arms}
    for trained in trials.used.each():
        if trained.tracked_run:
            tags = {PARENT: parent.key, MODEL: verification.name, **_run_tags(trained, judged)}
            with tracker.reopened(trained.tracked_run) as run:
                run.set_tags(tags)


def _run_tags(trained: TrialRun, judged: Mapping[str, str]) -> dict[str, str]:
    is_control = trained.part != ARMS or trained.arm == AS_IT_WAS.name
    return {
        NAME: f"{trained.shown_arm}, seed {trained.seed}",
        PART: trained.part,
        ARM: trained.shown_arm,
        SEED: str(trained.seed),
        JUDGED: CONTROL if is_control else judged.get(trained.arm, NOT_CONFIRMED),
    }
