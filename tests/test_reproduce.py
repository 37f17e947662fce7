"""Training a recorded run again: the same bits, or what is different."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from pipeline import cli
from pipeline.config import compose
from pipeline.errors import ConfigError, DataError, TrackingError
from pipeline.stages import reproduce as stage
from pipeline.stages.train import train

QUICK = ("trainer.accelerator=cpu", "trainer.precision=32", "model.width=16", "trainer.max_epochs=2")
STORE = "sqlite:///mlflow.db"


@pytest.fixture
def trained(project: Path) -> Path:
    """A tracked run of a small MLP with dropout."""
    settings, values = compose([*QUICK, "tracking.model=false"], root=project)
    train(settings, values, root=project, output=project)
    return project


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["pipeline", *arguments])
    return cli.main()


def only_run(project: Path) -> str:
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mnist"]
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'mlp'")
    return str(run.info.run_id)


def test_a_model_and_its_run_come_out_the_same(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (trained / "models" / "mlp" / "model.safetensors").read_bytes()
    assert command(monkeypatch, "reproduce", "name=mlp") == 0
    assert "bit for bit" in capsys.readouterr().out
    assert (trained / "models" / "mlp_again" / "model.safetensors").read_bytes() == before
    assert (trained / "models" / "mlp" / "model.safetensors").read_bytes() == before
    assert command(monkeypatch, "reproduce", f"run={only_run(trained)}") == 0


def test_other_weights_are_told_with_numbers_and_reasons(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = stage.recorded_run(only_run(trained), uri=STORE, root=trained)
    other = {**recorded.settings, "seed": 1}  # what an unnoticed change in the code would look like
    found = stage.reproduce(
        replace(
            recorded,
            settings=other,
            summary={**recorded.summary, "num_threads": "64"},
            tags={**recorded.tags, "environment.lock.sha256": "of another lock"},
        ),
        root=trained,
    )
    assert not found.same_weights
    then, now = found.differing["val/loss"]
    assert then == recorded.history[-1].metrics["val/loss"] != now
    assert not any(name.startswith("time/") for name in found.differing)
    assert any("num_threads: 64 then" in reason for reason in found.reasons)
    assert any("requirements.lock" in reason for reason in found.reasons)
    stage.tell(found)
    assert "not the same weights" in capsys.readouterr().out


def test_other_weights_end_with_an_exit_code(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained / "models" / "mlp" / "model.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "settings": {**told["settings"], "seed": 1}}))
    assert command(monkeypatch, "reproduce", "name=mlp") == 1


def test_other_data_is_refused_before_training(trained: Path) -> None:
    recorded = replace(stage.recorded_model("mlp", root=trained), data_sha256="0" * 64)
    with pytest.raises(DataError, match="000000000000…"):
        stage.reproduce(recorded, root=trained)
    assert not (trained / "models" / "mlp_again").exists()


def test_a_run_without_a_model_is_refused(trained: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    empty = client.create_run("0").info.run_id
    with pytest.raises(DataError, match="cannot be trained"):
        stage.recorded_run(empty, uri=STORE, root=trained)
    with pytest.raises(TrackingError, match="run=nothing"):
        stage.recorded_run("nothing", uri=STORE, root=trained)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_description_is_told(project: Path, text: str) -> None:
    path = project / "models" / "mlp" / "model.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match="Train it again"):
        stage.recorded_model("mlp", root=project)


@pytest.mark.parametrize("arguments", [[], ["name=mlp", "run=1"], ["names=mlp"], ["name="], ["mlp"]], ids=str)
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="reproduce"):
        stage.parse(arguments)


def test_a_model_that_is_not_there_is_told(project: Path) -> None:
    with pytest.raises(DataError, match="models/"):
        stage.recorded_model("nobody", root=project)
