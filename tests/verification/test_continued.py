"""Which interrupted study a later call takes over: only one whose open runs are all wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import make_project
from pipeline.diagnosis.record import Remedy
from pipeline.sweep.analysis import FinishedTrial
from pipeline.sweep.noted import NotedStudy
from pipeline.verification import known
from pipeline.verification.parts import AS_IT_WAS
from pipeline.verification.progress import RunProgress
from pipeline.verification.trials import Trials
from verification_cases import options, patient
from verified import working_in

DROPOUT = Remedy("dropout", ("model.dropout=0.3",), "")
BOTH = (AS_IT_WAS, DROPOUT)


class Begun(Exception):
    """A sweep that must not train."""


@pytest.fixture(scope="module")
def project_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = make_project(tmp_path_factory.mktemp("continued") / "project")
    with working_in(root):
        yield root


def trials_in(root: Path) -> Trials:
    def begin(overrides: Sequence[str]) -> None:
        raise Begun(*overrides)

    asked = options(remedies=("dropout",), seeds=3)
    return Trials(patient(), asked, root=root, run_sweep=begin, progress=RunProgress("none"))


def interrupted(trials: Trials, *ended: tuple[str, int], **changed: Any) -> NotedStudy:
    """A study of both arms with seeds 0 and 1. ended: arm and seed of runs that diverged."""
    experiments = {arm.name: f"verify/mlp/{arm.name}" for arm in BOTH}
    finished = [
        FinishedTrial(
            number, "failed", (), {"experiment": experiments[arm], "seed": seed},
            {}, None, 1.0, "Diverged: the loss is not finite",
        )
        for number, (arm, seed) in enumerate(ended)
    ]  # fmt: skip
    contents = {experiments[arm.name]: trials._content(arm) for arm in BOTH}
    note = known.note_of("mlp", contents, [0, 1], fixed=trials._fixed())
    study = NotedStudy(
        "verify_mlp_begun", note, False, Path("multirun"), None, tuple((t, None) for t in finished)
    )
    return replace(study, **changed)


def first_sweep(
    root: Path, studies: Sequence[NotedStudy], arms: Sequence[Remedy], seeds: Sequence[int]
) -> dict[str, str]:
    """The first sweep that a call asks for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "noted_studies", lambda storage, prefix: list(studies))
        with pytest.raises(Begun) as begun:
            trials_in(root).train("arms", arms, seeds)
    return dict(override.split("=", 1) for override in begun.value.args)


def test_a_study_goes_on_where_all_that_it_lacks_is_wanted(project_of_all: Path) -> None:
    study = interrupted(trials_in(project_of_all), ("as_it_was", 0))
    more = Remedy("l2", ("penalty.l2=1e-4",), "")
    sweep = first_sweep(project_of_all, [study], (*BOTH, more), (0, 1, 2))
    assert sweep["study_name"] == study.name
    assert sweep["experiment"] == "verify/mlp/as_it_was,verify/mlp/dropout"
    assert sweep["seed"] == "0,1"


def test_a_study_that_lacks_what_nobody_wants_is_left_and_its_runs_serve(
    project_of_all: Path,
) -> None:
    study = interrupted(trials_in(project_of_all), ("as_it_was", 0))
    sweep = first_sweep(project_of_all, [study], [AS_IT_WAS], (0, 1, 2))
    assert sweep["study_name"] != study.name
    assert (sweep["experiment"], sweep["seed"]) == ("verify/mlp/as_it_was", "1,2")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"ended": True}, id="it_has_ended"),
        pytest.param({"fixed": ["objective=val/loss"]}, id="other_overrides"),
        pytest.param({"arms": {"verify/mlp/as_it_was": "another"}}, id="another_content"),
    ],
)
def test_no_other_study_goes_on(project_of_all: Path, changed: dict[str, Any]) -> None:
    trials = trials_in(project_of_all)
    study = interrupted(trials)
    if "ended" not in changed:
        changed = {"note": {**study.note, **changed}}
    sweep = first_sweep(project_of_all, [interrupted(trials, **changed)], BOTH, (0, 1))
    assert sweep["study_name"] != study.name


def test_a_run_that_another_study_has_is_not_trained_by_going_on(project_of_all: Path) -> None:
    trials = trials_in(project_of_all)
    study = interrupted(trials, ("as_it_was", 0))
    other = interrupted(trials, ("dropout", 1), name="verify_mlp_other", ended=True)
    sweep = first_sweep(project_of_all, [study, other], BOTH, (0, 1))
    assert sweep["study_name"] not in (study.name, other.name)
    assert (sweep["experiment"], sweep["seed"]) == ("verify/mlp/as_it_was", "choice(1)")


def test_arms_that_lack_the_same_seeds_share_a_sweep(project_of_all: Path) -> None:
    ended = [(arm.name, seed) for arm in BOTH for seed in (0, 1)]
    study = interrupted(trials_in(project_of_all), *ended, ended=True)
    sweep = first_sweep(project_of_all, [study], BOTH, (0, 1, 2, 3))
    assert sweep["experiment"] == "verify/mlp/as_it_was,verify/mlp/dropout"
    assert sweep["seed"] == "2,3"
