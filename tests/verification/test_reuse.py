"""Runs of earlier calls serve a later one, and its verdict is that of a call without them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from conftest import make_project
from pipeline import cli
from pipeline.diagnosis.proof import Verification
from pipeline.diagnosis.record import Remedy
from pipeline.sweep.noted import NotedStudy, noted_studies
from pipeline.verification.known import experiment_of
from pipeline.verification.parts import AS_IT_WAS
from pipeline.verification.patient import patient_of
from pipeline.verification.plan import known_remedies, num_runs
from pipeline.verification.progress import RunProgress
from pipeline.verification.trials import Trials
from pipeline.verification.verify import verify
from verification_cases import STORAGE, options
from verified import interrupted_after, refused, run_sweep, working_in

PATIENT = ["name=wide", "model.width=32", "model.dropout=0.0", "data.fraction=0.1"]
SHORT = ["trainer.max_epochs=4", "data.batch_size=32", "trainer.accelerator=cpu"]
ONE_THREAD = "trainer.num_threads=1"  # or two workers would round in another way than one
FIRST = options(remedies=("more_data",), seeds=3)
LATER = options(remedies=("dropout", "more_data"), seeds=4)
EARLY = options(remedies=("more_data", "dropout"), seeds=5, stop="early")


def train(*changed: str) -> None:
    cli.call("train", [*PATIENT, *SHORT, ONE_THREAD, "tracking=none", *changed])


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the run ``wide``, which nothing has verified."""
    root = make_project(tmp_path_factory.mktemp("untouched") / "project")
    with working_in(root):
        train("tracking=mlflow")
    return root


def copied(root: Path, folder: Path) -> Path:
    shutil.copytree(root, folder)
    return folder


def verified_in(root: Path, asked: Any, sweep: Any = run_sweep) -> Verification:
    found = verify(patient_of("wide", root=root), asked, root=root, run_sweep=sweep)
    assert found is not None
    return found


def studies() -> list[NotedStudy]:
    return noted_studies(STORAGE, prefix="verify_wide_")


def trained() -> Counter[tuple[str, int]]:
    """Experiment and seed of every run that ended → how often it was trained."""
    runs = [(study, trial) for study in studies() for trial, _ in study.trials]
    return Counter(
        (experiment_of(s, t), int(t.params.get("seed", s.note["seeds"][0]))) for s, t in runs
    )


def without_studies(found: Verification) -> Verification:
    """Only the names of the studies tell who has trained a run."""
    return replace(found, studies={})


@dataclass(frozen=True)
class Both:
    """A later call in a project with an earlier one, and the same call in a project without."""

    root: Path
    later: Verification
    anew: Verification
    anew_root: Path
    said: str


@pytest.fixture(scope="module")
def both(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("both")
    root, anew_root = copied(untouched, folder / "later"), copied(untouched, folder / "anew")
    with working_in(anew_root):
        anew = verified_in(anew_root, LATER)
    with working_in(root), pytest.MonkeyPatch.context() as patch:
        verified_in(root, FIRST)
        said: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        # The second call is another one, trains side by side, and is interrupted too.
        side_by_side = replace(LATER, sweep=("n_jobs=2",))
        with pytest.raises(KeyboardInterrupt):
            verified_in(root, side_by_side, interrupted_after(1))
        later = verified_in(root, side_by_side)
    return Both(root, later, anew, anew_root, "\n".join(said))


@pytest.fixture
def again(both: Both, tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with both calls, as working directory."""
    root = copied(both.root, tmp_path / "project")
    with working_in(root):
        yield root


def test_the_verdict_is_that_of_a_call_that_trains_everything(both: Both) -> None:
    assert without_studies(both.later) == without_studies(both.anew)
    claims = [
        list(json.loads((root / "results/wide/claims.json").read_text()).values())
        for root in (both.root, both.anew_root)
    ]
    assert claims[1][0] in claims[0], "to the last digit"


def test_no_run_is_trained_twice_and_only_the_rest_is_trained(both: Both) -> None:
    with working_in(both.root):
        counts = trained()
        assert set(counts.values()) == {1}
        with working_in(both.anew_root):
            alone = trained()
    assert set(alone) <= set(counts)
    assert len(set(counts) - set(alone)) <= 2, "the best of two draws may not be that of four"
    assert len(alone) == num_runs(2, 4) == both.later.num_runs


def test_one_line_says_what_is_known(both: Both) -> None:
    first, second = (line for line in both.said.splitlines() if "known from earlier" in line)
    assert first.startswith(
        "wide: 2 remedies and the controls, 23 runs; 11 of 23 runs are known from earlier calls; "
    )
    assert "for 12 runs with n_jobs=2" in first
    assert "of 23 runs are known from earlier calls" in second and " 11 of" not in second


def test_the_later_record_has_all_runs_as_its_children(both: Both) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{both.root / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    tops = [r for r in runs if r.data.tags.get("pipeline.kind") == "verification"]
    latest = max(tops, key=lambda run: run.info.start_time)
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == latest.info.run_id]
    arms = [r.data.tags for r in children if r.data.tags.get("pipeline.kind") != "study"]
    assert len(tops) == 2 and len(arms) == num_runs(2, 4)
    rows = {(tags["verify.arm"], tags["verify.seed"]) for tags in arms}
    assert len(rows) == len(arms)
    assert {("dropout", str(i)) for i in range(4)} <= rows
    assert {tags["verify.judged"] for tags in arms if tags["verify.arm"] == "more_data"} == {
        next(arm.verdict for arm in both.later.arms if arm.name == "more_data")
    }


def test_the_same_call_and_one_in_another_order_train_nothing(again: Path, both: Both) -> None:
    assert verified_in(again, LATER, refused) == both.later
    turned = verified_in(again, replace(LATER, remedies=("more_data", "dropout")), refused)
    assert without_studies(turned) == without_studies(both.later)


def test_early_takes_the_runs_of_fixed_and_decides_as_it_would_alone(
    again: Path, both: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained()
    with_others = verified_in(again, EARLY)
    shown = capsys.readouterr().out
    assert "now more_data, pairs 1 to 3 of at most 5: 6 runs, all known from earlier" in shown
    assert "A pair is two runs with the same seed" in shown
    assert "more_data after 3 pairs: " in shown
    root = copied(both.anew_root, tmp_path / "alone")
    (root / "optuna.db").unlink()
    with working_in(root):
        alone = verified_in(root, EARLY)
        assert set(before) & set(trained()), "there is something to take"
    assert without_studies(with_others) == without_studies(alone)


def test_a_healing_adopts_a_proved_model_of_an_earlier_call(again: Path, both: Both) -> None:
    assert both.later.proved, "or there is nothing to adopt"
    from pipeline.verification.healing import heal

    patient = patient_of("wide", root=again)
    healing = heal(patient, LATER, root=again, run_sweep=refused, rounds=1)
    assert [step.adopted for step in healing.steps] == ["more_data"]


def test_the_second_round_of_a_healing_begins_with_the_runs_of_the_adopted_remedy(
    again: Path, both: Both
) -> None:
    from pipeline.verification.healing import _healed

    wide = patient_of("wide", root=again)
    healed = _healed(wide, both.later, LATER, name="wide_healed1", root=again)
    with RunProgress("count") as progress:
        trials = Trials(healed, LATER, root=again, run_sweep=refused, progress=progress)
        (as_it_was,) = trials.train("arms", [AS_IT_WAS], range(4))
    chosen = both.later.chosen
    assert chosen is not None and as_it_was.losses == chosen.val_losses
    moved = [run.tracked_run for run in trials.used.each() if run.tracked_run]
    assert moved == [] == list(trials.used.whole_studies()), "they stay in the first round's record"


# --- what must not be taken -----------------------------------------------------------------------


def num_known(root: Path, arms: Sequence[Remedy] = (AS_IT_WAS,), seeds: int = 4) -> int:
    """How many runs of the first seeds are known."""
    patient = patient_of("wide", root=root)
    with RunProgress("count") as progress:
        trials = Trials(patient, LATER, root=root, run_sweep=refused, progress=progress)
        return trials.count_known(arms, range(seeds))


def test_runs_as_it_was_are_known(again: Path) -> None:
    """The healthy twin of the tests below."""
    assert num_known(again) == 4
    dropout = known_remedies(patient_of("wide", root=again))["dropout"]
    assert num_known(again, [dropout]) == 4
    assert num_known(again, [replace(dropout, overrides=("model.dropout=0.11",))]) == 0


def test_a_patient_with_other_settings_has_no_known_run(again: Path) -> None:
    train("trainer.max_epochs=3", "overwrite=true")
    assert num_known(again) == 0


def test_an_option_of_conf_that_changed_has_no_known_run(again: Path) -> None:
    """The overrides of the arm are the same, but not its training."""
    affine = Remedy("augment", ("augment=affine",), "")
    patient, path = patient_of("wide", root=again), again / "conf/augment/affine.yaml"
    with RunProgress("count") as progress:

        def content() -> str:
            trials = Trials(patient, LATER, root=again, run_sweep=refused, progress=progress)
            return trials._content(affine)

        before = content()
        assert content() == before
        path.write_text(path.read_text().replace("degrees: ", "degrees: 1"))
        assert content() != before


def test_other_data_has_no_known_run(again: Path) -> None:
    card = again / "data/processed/mnist/card.json"
    values = json.loads(card.read_text())
    del values["file_sha256"]
    values["sha256"]["train"] = "0" * 64
    card.write_text(json.dumps(values))
    assert num_known(again) == 0


def test_another_patient_has_no_known_run(again: Path) -> None:
    shutil.copytree(again / "results/wide", again / "results/wide_arms")
    shutil.copytree(again / "models/wide", again / "models/wide_arms")
    patient = patient_of("wide_arms", root=again)
    with RunProgress("count") as progress:
        trials = Trials(patient, LATER, root=again, run_sweep=refused, progress=progress)
        assert trials.count_known([AS_IT_WAS], range(4)) == 0


def test_a_run_whose_model_was_deleted_is_trained_again(again: Path, both: Both) -> None:
    study = next(each for each in studies() if "verify/wide/dropout" in each.note["arms"])
    number = next(t.number for t, _ in study.trials if t.state == "complete")
    assert study.folder is not None
    dropout = known_remedies(patient_of("wide", root=again))["dropout"]
    arms = (AS_IT_WAS, dropout)
    shutil.rmtree(again / study.folder / str(number) / "models")
    assert num_known(again, arms) == 7
    found = verified_in(again, LATER)
    assert without_studies(found) == without_studies(both.later)
    assert num_known(again, arms) == 8


@pytest.mark.parametrize(
    ("failure", "known"),
    [
        pytest.param("Diverged: wide: the loss is not finite", 1, id="as_it_would_again"),
        pytest.param("OutOfMemoryError: CUDA out of memory", 0, id="for_another_reason"),
        pytest.param("its worker was killed 3 times", 0, id="killed"),
    ],
)
def test_only_a_run_that_diverged_is_known_without_a_model(
    again: Path, failure: str, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.verification import known as module

    def with_failure(storage: str, *, prefix: str) -> list[NotedStudy]:
        found = noted_studies(storage, prefix=prefix)
        return [replace(study, trials=tuple(map(failed, study.trials))) for study in found]

    def failed(pair: Any) -> Any:
        trial, run = pair
        return replace(trial, state="failed", values=(), failure=failure), run

    monkeypatch.setattr(module, "noted_studies", with_failure)
    assert num_known(again, seeds=1) == known
