"""The patient: a run by its name or by its id in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from pipeline.errors import ConfigError, DataError, TrackingError
from pipeline.verification.patient import patient_of, patient_of_run


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def tracked_run(root: Path) -> str:
    """The id of the only run."""
    client = client_of(root)
    experiments = [e.experiment_id for e in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return str(run.info.run_id)


def test_a_tracked_run_is_the_same_patient_as_its_files(overfitted: Path) -> None:
    run_id, uri = tracked_run(overfitted), f"sqlite:///{overfitted / 'mlflow.db'}"
    by_run = patient_of_run(run_id, uri=uri, root=overfitted)
    by_name = patient_of("wide", root=overfitted)
    assert by_run.name == f"wide_{run_id[:8]}"
    assert sorted(by_run.overrides) == sorted(by_name.overrides)
    assert by_run.settings == by_name.settings
    assert by_run.diagnosis.verdict == by_name.diagnosis.verdict == "overfitting"
    times = json.loads((overfitted / "results/wide/times.json").read_text())
    epochs_s = times["numbers"]["time/epoch_s"]
    assert len(epochs_s) == 12 and by_name.training_s == pytest.approx(sum(epochs_s))
    assert by_run.training_s == round(sum(epochs_s), 1)


def test_a_run_without_its_times_is_a_patient_too(overfitted: Path) -> None:
    (overfitted / "results/wide/times.json").unlink()
    assert patient_of("wide", root=overfitted).training_s is None


@pytest.mark.parametrize("command", ["verify", "heal"])
def test_a_command_takes_a_tracked_run(command: str, overfitted: Path) -> None:
    with pytest.raises(ConfigError, match="remedies=nonsense: is unknown"):
        cli.call(command, [f"run={tracked_run(overfitted)}", "remedies=[nonsense]"])


def test_a_run_that_left_no_history_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match=r"history\.csv: missing"):
        patient_of("nothing", root=project)


def test_a_tracked_run_without_configuration_is_refused(project: Path) -> None:
    client = client_of(project)
    foreign = client.create_run(client.create_experiment("theirs"), run_name="foreign").info.run_id
    for epoch in range(12):
        client.log_metric(foreign, "val_loss", 0.3 + 0.02 * epoch, step=epoch)
    with pytest.raises(DataError, match=r"has no config\.json"):
        patient_of_run(foreign, uri=f"sqlite:///{project / 'mlflow.db'}", root=project)


def test_an_unknown_tracked_run_is_refused(project: Path) -> None:
    client_of(project)
    uri = f"sqlite:///{project / 'mlflow.db'}"
    with pytest.raises(TrackingError, match="run=0123456789abcdef"):
        patient_of_run("0123456789abcdef", uri=uri, root=project)
