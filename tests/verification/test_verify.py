"""A real verification of one remedy over three seeds: proved, resumed, exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import compose
from pipeline.diagnosis.paired_trials import CONFIRMED
from pipeline.diagnosis.proof import Verification
from pipeline.errors import ConfigError
from pipeline.files import read_record
from pipeline.verification.verify import verify
from verification_cases import options, patient
from verified import Verified, refused


def test_a_remedy_is_proved(verified: Verified) -> None:
    found = verified.verification
    assert verified.patient.diagnosis.verdict == found.symptom == "overfitting"
    assert found.proved and found.chosen is not None
    assert (found.chosen.name, found.chosen.verdict) == ("more_data", CONFIRMED)
    assert found.chosen.improvement.low > 0
    assert "more data lowers test loss by" in found.sentence


def test_the_file_holds_the_same_record(verified: Verified) -> None:
    path = verified.root / "results/wide/verification.json"
    assert read_record(path, Verification, way_out="") == verified.verification


def test_the_proved_configuration_is_an_experiment(verified: Verified) -> None:
    assert verified.verification.experiment == "wide_verified"
    settings = compose(["experiment=wide_verified"], root=verified.root).settings
    assert (settings.data.fraction, settings.model.width) == (1.0, 128)  # type: ignore[union-attr]


def test_an_interrupted_verification_has_no_result_and_reads_no_test_set(
    verified: Verified,
) -> None:
    files, reads = verified.after_interrupt
    assert "verification.json" not in files and reads == []


def test_runs_that_are_done_are_not_trained_again(verified: Verified) -> None:
    known = "1 remedy and the controls, 13 runs; 6 of 13 runs are known from earlier calls; about "
    assert f"wide: {known}" in verified.output
    assert "for 7 runs with n_jobs=1" in verified.output


def test_every_run_is_counted_by_arm_and_seed(verified: Verified) -> None:
    lines = verified.output.splitlines()
    assert any(line.startswith("[7/13] control: reseeded, seed 1000: ") for line in lines)
    assert any(line.startswith("[10/13] control: draw 0, seed 0: ") for line in lines)
    assert any(line.startswith("[13/13] control: random search, seed 2: ") for line in lines)
    assert "study" not in verified.output


def test_a_healthy_run_is_not_trained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(patient("healthy"), options(), root=project, run_sweep=refused) is None
    assert "there is nothing to verify" in capsys.readouterr().out


def test_a_person_s_experiment_is_not_replaced_and_the_refusal_comes_first(project: Path) -> None:
    own = project / "conf/experiment/mlp_verified.yaml"
    own.write_text("# @package _global_\n# mine\nname: mine\n")
    with pytest.raises(ConfigError, match="was not written by this pipeline"):
        verify(patient(), options(), root=project, run_sweep=refused)
    assert "mine" in own.read_text()
