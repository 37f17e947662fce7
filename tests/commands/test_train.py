"""A trained model's files and its tracked run: the same numbers, whatever the end."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from pipeline.commands import train_job as command
from pipeline.commands.train_job import train
from pipeline.config import compose
from pipeline.errors import TrainingError
from pipeline.evaluation.metrics_files import headline, read_metrics
from pipeline.records import EpochRecord
from pipeline.runs.alone import Alone
from pipeline.runs.files import RunFiles
from pipeline.runs.tracked import Curves
from pipeline.tracking import MODEL_TAG, NoRun, shipper
from pipeline.verification.patient import patient_of_run
from small_mnist import write_prepared

QUICK = [
    *("model.width=32", "trainer.max_epochs=2", "trainer.sample_size=200"),
    "trainer.accelerator=cpu",
]


@dataclass
class Trained:
    """A project with one trained model, and the model's tracked run."""

    root: Path
    client: Any
    run: Any

    @property
    def files(self) -> RunFiles:
        return RunFiles(self.root, "mlp")


def only_run(root: Path) -> Any:
    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(Path(__file__).parents[2] / "conf", root / "conf")
    (root / "mlruns").mkdir()
    write_prepared(root / "data" / "processed" / "mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        train(compose(["model=mlp", *QUICK], root=root), root=root, output=root)
        client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
        yield Trained(root, client, only_run(root))


def test_the_run_holds_the_curves_of_the_files_to_the_last_digit(trained: Trained) -> None:
    run_id = trained.run.info.run_id
    for row in trained.files.read_history():
        for name, value in row.metrics.items():
            if name.startswith("time/"):
                assert name not in trained.run.data.metrics, "the artifact times.json has it"
                continue
            points = trained.client.get_metric_history(run_id, name)
            assert {p.step: p.value for p in points}[row.epoch + 1] == value, name


def test_the_run_holds_the_kept_numbers_and_the_summary(trained: Trained) -> None:
    description = trained.files.read_description()
    assert description is not None
    data = trained.run.data
    last = trained.files.read_history()[-1]
    assert data.metrics["kept/val/loss"] == last.metrics["val/loss"]
    rows = trained.files.read_history()
    seconds = round(sum(row.metrics["time/epoch_s"] for row in rows), 1)
    times = {"seconds": seconds, "resumed_from_epoch": 0}
    for name, value in {**vars(description.summary), **times}.items():
        assert data.tags[f"training.{name}"] == str(value)


def test_the_run_names_its_model_its_data_and_its_verdict(trained: Trained) -> None:
    description = trained.files.read_description()
    assert description is not None
    tags = trained.run.data.tags
    assert tags[MODEL_TAG] == description.weights_sha256
    assert tags["data.sha256"] == description.data_sha256
    assert {"diagnosis.verdict", "diagnosis.confidence", "config.sha256"} <= tags.keys()
    assert trained.run.inputs.dataset_inputs[0].dataset.name == "mnist"


def test_the_run_holds_the_files_of_the_results(trained: Trained) -> None:
    artifacts = {a.path for a in trained.client.list_artifacts(trained.run.info.run_id)}
    results = {path.name for path in trained.files.results.iterdir()}
    measured = {"config.json", "history.csv", "signals.safetensors", "times.json"}
    assert results == {*measured, "learning_curves.png"}
    assert artifacts == results | {"signals.csv"}


def test_the_recorded_network_can_be_served(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained.root / 'mlflow.db'}")
    loaded = mlflow.pyfunc.load_model(f"runs:/{trained.run.info.run_id}/mlp")
    assert loaded.predict(np.zeros((7, 1, 28, 28), np.float32)).shape == (7, 10)


@pytest.mark.parametrize("rate", ["1e30", "12", "14"], ids=["nothing", "one_part", "a_step"])
def test_a_run_that_diverges_is_failed_and_keeps_its_history(project: Path, rate: str) -> None:
    overrides = ["optimizer=sgd", f"optimizer.learning_rate={rate}", "trainer.keep=best", *QUICK]
    config = compose([*overrides, "trainer.max_epochs=3"], root=project)
    with pytest.raises(TrainingError, match="learning_rate"):
        train(config, root=project, output=project)
    run = only_run(project)
    assert run.info.status == "FAILED"
    assert "train/loss" in run.data.metrics
    assert run.data.tags["diagnosis.verdict"] == "learning_rate_too_high"
    assert "not finite. Verdict: **learning rate too high" in run.data.tags["mlflow.note.content"]
    patient = patient_of_run(run.info.run_id, uri="sqlite:///mlflow.db", root=project)
    assert patient.settings == config.values
    assert patient.diagnosis.verdict == "learning_rate_too_high"


def test_an_interrupted_run_is_killed_and_resumed_as_the_same_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(row: EpochRecord, *, max_epochs: int) -> str:
        if row.epoch == 1:
            raise KeyboardInterrupt
        return ""

    config = compose(QUICK, root=project)
    with monkeypatch.context() as patch:
        patch.setattr(command, "epoch_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(config, root=project, output=project)
    killed = only_run(project)
    assert killed.info.status == "KILLED"

    train(config, root=project, output=project)
    run = only_run(project)
    assert (run.info.run_id, run.info.status) == (killed.info.run_id, "FINISHED")
    assert run.data.tags["training.resumed_from_epoch"] == "1"


def test_an_epoch_that_is_trained_twice_is_recorded_once(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends after the record of the second epoch, before its checkpoint."""

    def end(row: EpochRecord) -> None:
        if row.epoch == 1:
            raise KeyboardInterrupt

    config = compose(["tracking.model=false", *QUICK], root=project)
    with monkeypatch.context() as patch:
        patch.setattr(Alone, "observers", lambda *_: [end])
        with pytest.raises(KeyboardInterrupt):
            train(config, root=project, output=project)
    train(config, root=project, output=project)
    run = only_run(project)
    assert run.data.tags["training.resumed_from_epoch"] == "1"
    query = "select key, step, count(*) from metrics group by key, step"
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as database:
        counts = {(key, step): count for key, step, count in database.execute(query)}
    assert set(counts.values()) == {1}
    assert {step for key, step in counts if key == "val/loss"} == {1, 2}
    assert {step for key, step in counts if key == "train/gradient_norm"} == {1, 2}


def test_a_server_that_is_away_neither_stops_nor_spoils_a_training(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shipper, "PATIENCE_S", 0.5)
    overrides = ["tracking.uri=http://127.0.0.1:9", "tracking.model=false", *QUICK]
    config = compose(overrides, root=project)
    train(config, root=project, output=project)
    assert (project / "models" / "mlp" / "model.json").is_file()
    told = capsys.readouterr().err
    assert "writes are not in MLflow yet (http://127.0.0.1:9: " in told
    assert "pipeline sync" in told


def test_data_that_is_missing_stops_the_command_before_it_writes(project: Path) -> None:
    shutil.rmtree(project / "data")
    before = sorted(project.iterdir())
    with pytest.raises(Exception, match="pipeline preprocess"):
        command.job(compose(QUICK, root=project), root=project)
    assert sorted(project.iterdir()) == before


def test_the_metrics_of_the_evaluation_join_the_run(project: Path) -> None:
    from pipeline.commands.evaluate import evaluate

    train(compose(["tracking.model=false", *QUICK], root=project), root=project, output=project)
    options = ["evaluation.corruptions=[]", "evaluation.num_resamples=100"]
    evaluate(compose(["name=mlp", *options], root=project).settings, root=project)
    metrics = headline(read_metrics(project / "results" / "mlp"))
    recorded = only_run(project).data.metrics
    assert {name: recorded[name] for name in metrics} == metrics


def test_each_trial_has_event_files_of_its_own(project: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = compose(["tracking.tensorboard=true", "name=x"], root=project).settings
    for trial in ("0", "1"):
        command._observers(settings, Alone(), Curves(NoRun()), output=project / "multirun" / trial)
    found = (project / "multirun").glob("*/outputs/tensorboard/x/events*")
    assert sorted(path.parents[3].name for path in found) == ["0", "1"]
