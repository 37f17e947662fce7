"""The trials: the folders of their runs, and the names of their arms."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.diagnosis.paired_trials import DIVERGED
from pipeline.errors import SweepError
from pipeline.runs import train_once
from pipeline.verification.parts import AS_IT_WAS, shown_arm, shown_runs
from pipeline.verification.patient import patient_of
from pipeline.verification.plan import known_remedies
from pipeline.verification.progress import RunProgress
from pipeline.verification.trials import Trials, first_finished_run
from verification_cases import STORAGE, options
from verified import Verified, run_sweep


@pytest.mark.parametrize(
    ("part", "arm", "expected"),
    [
        ("arms", "dropout", "dropout"),
        ("arms", "as_it_was", "as it was"),
        ("reseed", "as_it_was", "control: reseeded"),
        ("search", "random_3", "control: draw 3"),
        ("random", "random_3", "control: random search"),
    ],
)
def test_an_arm_is_shown_by_its_remedy_or_control(part: str, arm: str, expected: str) -> None:
    assert shown_arm(part, arm) == expected


@pytest.mark.parametrize(
    ("part", "arms", "seeds", "expected"),
    [
        ("arms_2", ["as_it_was", "dropout"], [0, 1, 2], "as it was, dropout, seeds 0 to 2"),
        ("arms", ["dropout"], [4], "dropout, seed 4"),
        ("arms", ["dropout"], [1, 3, 4], "dropout, seeds 1 3 4"),
        ("search", ["random_0", "random_1"], [0], "control: 2 draws, seed 0"),
        ("search", ["random_3"], [0], "control: draw 3, seed 0"),
        ("reseed", ["as_it_was"], [1000, 1001], "control: reseeded, seeds 1000 to 1001"),
    ],
)
def test_several_runs_are_shown_by_arms_and_seeds(
    part: str, arms: list[str], seeds: list[int], expected: str
) -> None:
    assert shown_runs(part, arms, seeds) == expected


def test_the_first_finished_run_of_the_chosen_arm_has_the_lowest_seed(
    verified: Verified, proved: Path
) -> None:
    chosen = verified.verification.chosen
    assert chosen is not None
    folder = first_finished_run(verified.patient, chosen, storage=STORAGE, root=proved)
    config = (folder / "results" / "wide_more_data" / "config.json").read_text()
    assert '"seed": 0' in config and (folder / "models" / "wide_more_data").is_dir()


def test_a_run_without_a_model_is_not_the_first_finished_one(
    verified: Verified, proved: Path
) -> None:
    chosen = verified.verification.chosen
    assert chosen is not None
    first = first_finished_run(verified.patient, chosen, storage=STORAGE, root=proved)
    shutil.rmtree(first / "models")
    folder = first_finished_run(verified.patient, chosen, storage=STORAGE, root=proved)
    assert '"seed": 1' in (folder / "results" / "wide_more_data" / "config.json").read_text()


def test_every_arm_can_be_trained_by_hand(verified: Verified) -> None:
    written = {path.stem for path in (verified.root / "conf/experiment/verify/wide").iterdir()}
    assert written == {"as_it_was", "more_data", "random_0", "random_1"}


def test_one_run_alone_is_a_sweep_too(overfitted: Path) -> None:
    """A second remedy that needs a pair whose other half is trained asks for a single run."""
    sick = patient_of("wide", root=overfitted)
    asked = options(remedies=("dropout",), stop="early")
    with RunProgress("one run") as progress:
        alone = Trials(sick, asked, root=overfitted, run_sweep=run_sweep, progress=progress)
        (arm,) = alone.train("arms", [AS_IT_WAS], [3])
    assert len(arm.losses) == 1 and arm.verdicts != (DIVERGED,)


def test_a_run_that_failed_for_another_reason_is_not_judged(
    overfitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full memory says nothing about the configuration; the same command goes on without it."""
    sick = patient_of("wide", root=overfitted)
    asked = options(remedies=("dropout",), seeds=3)
    dropout = known_remedies(sick)["dropout"]

    def full(*_: object, **__: object) -> None:
        raise MemoryError("out of memory")

    with RunProgress("failed") as progress:
        trials = Trials(sick, asked, root=overfitted, run_sweep=run_sweep, progress=progress)
        with monkeypatch.context() as patched:
            patched.setattr(train_once, "fit", full)
            with pytest.raises(SweepError, match=r"dropout, seed 5 failed: .*out of memory"):
                trials.train("arms", [dropout], [5])
        (arm,) = trials.train("arms", [dropout], [5])
    assert arm.verdicts != (DIVERGED,)
