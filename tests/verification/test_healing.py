"""A real healing: rounds of verification, until nothing is left to mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import cli
from pipeline.config import compose
from pipeline.diagnosis.proof import Healing, Verification
from pipeline.errors import ConfigError, TrainingError
from pipeline.files import read_record
from pipeline.verification.healing import heal
from pipeline.verification.patient import patient_of
from verification_cases import options, patient
from verified import MORE_DATA, refused, run_sweep


def test_a_proved_remedy_is_adopted_and_exported(proved: Path) -> None:
    healing = heal(
        patient_of("wide", root=proved), MORE_DATA, root=proved, run_sweep=run_sweep, rounds=3
    )
    (step,) = healing.steps
    assert (step.verdict, step.adopted) == ("overfitting", "more_data")
    assert step.overrides == ("data.fraction=1.0",)
    # More data is in force after the first round, so the second round has nothing left to try.
    all_in_force = "the remedies that were named are all in force"
    assert healing.end in (all_in_force, "healthy", "undetermined")
    assert healing.experiment == "wide_healed"
    healed = compose(["experiment=wide_healed"], root=proved).settings
    assert healed.data.fraction == 1.0  # type: ignore[union-attr]
    path = proved / "results/wide/healing.json"
    assert read_record(path, Healing, way_out="") == healing


def test_a_budget_that_is_too_small_begins_no_round(proved: Path) -> None:
    start = patient_of("wide", root=proved)
    healing = heal(start, options(budget=5), root=proved, run_sweep=refused, rounds=3)
    assert healing.steps == () and healing.experiment is None
    assert healing.end == "the budget is used: another round needs 21 runs, 5 are left"


def test_a_healthy_run_is_left_as_it_is(project: Path) -> None:
    healing = heal(patient("healthy"), options(), root=project, run_sweep=refused, rounds=3)
    assert (healing.steps, healing.end, healing.verdict) == ((), "healthy", "healthy")


def test_a_person_s_experiment_is_not_replaced_and_the_refusal_comes_first(project: Path) -> None:
    own = project / "conf/experiment/mlp_healed.yaml"
    own.write_text("# @package _global_\n# mine\nname: mine\n")
    with pytest.raises(ConfigError, match="was not written by this pipeline"):
        heal(patient(), options(), root=project, run_sweep=refused, rounds=3)
    assert "mine" in own.read_text()


def test_a_run_that_diverged_is_healed(project: Path) -> None:
    """It left no model, only numbers and a configuration, so its losses count as the worst."""
    steep = ["optimizer=sgd", "optimizer.learning_rate=1e6", "model.width=32"]
    with pytest.raises(TrainingError):
        cli.call("train", ["name=steep", *steep, "trainer.max_epochs=3", "tracking=none"])
    start = patient_of("steep", root=project)
    healing = heal(start, options(seeds=3, budget=16), root=project, run_sweep=run_sweep, rounds=3)
    assert [step.adopted for step in healing.steps] == ["usual_learning_rate"]
    healed = compose(["experiment=steep_healed"], root=project).settings
    assert healed.optimizer.learning_rate == 0.1  # type: ignore[union-attr]
    path = project / "results/steep/verification.json"
    found = read_record(path, Verification, way_out="")
    assert found.claim is not None and found.claim.remedy.low > 0.5
    assert found.claim.random.value > 0.2, "random search starts where the remedy does"
