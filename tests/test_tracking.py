"""The record of runs in a real store: what stands in it, and what happens when it fails."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.errors import TrackingError, TrainingError
from pipeline.evaluation.tables import read_history_csv
from pipeline.records import EpochRecord
from pipeline.stages.evaluate import evaluate_model
from pipeline.stages.train import train
from pipeline.stages.verify_patient import patient_of_run
from pipeline.tracking import MODEL_TAG, Tracker

QUICK = ["model.width=32", "trainer.max_epochs=2", "trainer.probe_size=200", "trainer.accelerator=cpu"]


def client(root: Path):
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def runs(root: Path) -> list:
    known = client(root)
    experiment = known.get_experiment_by_name("mnist")
    return known.search_runs([experiment.experiment_id])


@pytest.fixture
def trained(project: Path) -> Path:
    settings, values = compose(["model=mlp", *QUICK], root=project)
    train(settings, values, root=project, output=project)
    evaluation = [
        "evaluation.corruptions=[noise]",
        "evaluation.severities=[3]",
        "evaluation.num_resamples=100",
    ]
    evaluate_model(compose(["name=mlp", *evaluation], root=project)[0], root=project)
    return project


def test_the_run_holds_what_the_files_hold_to_the_last_digit(trained: Path) -> None:
    import mlflow

    (run,) = runs(trained)
    assert run.info.status == "FINISHED"
    metrics = json.loads((trained / "results" / "mlp" / "metrics.json").read_text())
    assert {name: run.data.metrics[name] for name in metrics} == metrics
    for row in read_history_csv(trained / "results" / "mlp" / "history.csv"):
        for name, value in row.metrics.items():
            logged = {m.step: m.value for m in client(trained).get_metric_history(run.info.run_id, name)}
            assert logged[row.epoch + 1] == value, name

    described = json.loads((trained / "models" / "mlp" / "model.json").read_text())
    assert run.data.tags[MODEL_TAG] == described["weights_sha256"]
    assert {"data.sha256", "config.sha256"} <= run.data.tags.keys()
    assert run.data.params["optimizer.learning_rate"] == "0.001"
    assert run.inputs.dataset_inputs[0].dataset.name == "mnist"

    artifacts = {entry.path for entry in client(trained).list_artifacts(run.info.run_id)}
    assert {
        "config.json",
        "history.csv",
        "learning_curves.png",
        "metrics.json",
        "confusion.png",
        "model",
    } <= artifacts
    mlflow.set_tracking_uri(f"sqlite:///{trained / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model(f"{run.info.artifact_uri}/model")
    images = np.zeros((7, 1, 28, 28), np.float32)
    assert loaded.predict(images).shape == (7, 10)


def test_long_parameters_stay_whole(project: Path) -> None:
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)
    run = tracker.start("long", tags={})
    run.log_params({"group": {"key": "x" * 3000}, **{f"p{i}": i for i in range(150)}})
    run.finish()
    (found,) = runs(project)
    assert found.data.params["group.key"] == "x" * 3000
    assert len(found.data.params) == 151


@pytest.mark.parametrize("rate", ["1e8", "10"], ids=["in the first epoch", "in the third"])
def test_a_run_that_diverges_is_failed_and_keeps_its_history(project: Path, rate: str) -> None:
    overrides = ["optimizer=sgd", f"optimizer.learning_rate={rate}", "trainer.keep=best", *QUICK]
    settings, values = compose([*overrides, "trainer.max_epochs=3"], root=project)
    with pytest.raises(TrainingError, match="learning_rate"):
        train(settings, values, root=project, output=project)
    (run,) = runs(project)
    assert run.info.status == "FAILED"
    assert "time/epoch_s" in run.data.metrics
    assert run.data.tags["diagnosis.verdict"] == "learning_rate_too_high"
    patient = patient_of_run(run.info.run_id, uri="sqlite:///mlflow.db", root=project)
    assert patient.settings == values and patient.diagnosis.verdict == "learning_rate_too_high"


def test_an_interrupted_run_is_killed_and_goes_on_as_the_same_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.stages import train as stage

    settings, values = compose(QUICK, root=project)

    def interrupt(row: EpochRecord, *, max_epochs: int) -> str:
        if row.epoch == 1:
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(stage, "epoch_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(settings, values, root=project, output=project)
    (run,) = runs(project)
    assert run.info.status == "KILLED"

    train(settings, values, root=project, output=project)
    (again,) = runs(project)
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert again.data.tags["training.resumed_from_epoch"] == "1"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:///conf/config.yaml/mlflow.db"])
def test_a_store_that_cannot_be_reached_is_told_before_training(uri: str, project: Path) -> None:
    settings, values = compose([f"tracking.uri={uri}", *QUICK], root=project)
    with pytest.raises(TrackingError, match=r"tracking=none"):
        train(settings, values, root=project, output=project)
    assert not (project / "models").exists()


def test_a_store_that_breaks_later_is_told_once_and_stops_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)
    run = tracker.start("broken", tags={})
    with sqlite3.connect(project / "mlflow.db") as database:
        database.execute("DROP TABLE metrics")
    run.log_metrics({"a": 1.0})
    run.log_metrics({"b": 1.0})
    run.finish()
    told = capsys.readouterr().err
    assert told.count("the tracker did not take metrics") == 1
    assert "2 writes to the tracker failed" in told


def _open_one(root: str) -> None:
    run = Tracker("sqlite:///mlflow.db", experiment="mnist", root=Path(root)).start("one", tags={})
    run.log_metrics({"a": 1.0})
    run.finish()
    assert run.failures == 0


@pytest.mark.slow
def test_four_processes_share_a_fresh_store(project: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_open_one, args=(str(project),)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert [run.info.status for run in runs(project)] == ["FINISHED"] * 4
