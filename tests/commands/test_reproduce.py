"""``pipeline reproduce``: train a recorded run again, and print what is different."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from command_line import read_line
from pipeline import cli
from pipeline.commands.reproduce import reproduce
from pipeline.commands.reproduce import run as reproduce_command
from pipeline.commands.train_job import train
from pipeline.config import compose
from pipeline.errors import ConfigError, DataError, TrackingError
from pipeline.runs.reproduction import RecordedRun, config_again, recorded_model, recorded_run
from sealed_records import fields_of, write_fields

QUICK = (
    "trainer.accelerator=cpu",
    "trainer.precision=32",
    "model.width=16",
    "trainer.max_epochs=2",
)
STORE = "sqlite:///mlflow.db"


@pytest.fixture
def trained(project: Path) -> Path:
    """A tracked run of a small MLP with dropout."""
    config = compose([*QUICK, "tracking.model=false"], root=project)
    train(config, root=project, output=project)
    return project


@pytest.fixture
def recorded(trained: Path) -> RecordedRun:
    """The run as its record in MLflow describes it."""
    return recorded_run(run_id(trained), uri=STORE, root=trained)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["pipeline", *arguments])
    return cli.main()


def run_id(project: Path) -> str:
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mnist"]
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'mlp'")
    return str(run.info.run_id)


def weights(project: Path, name: str) -> bytes:
    return (project / "models" / name / "model.safetensors").read_bytes()


def test_a_model_trained_again_has_the_same_weights(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(trained, "mlp")
    assert command(monkeypatch, "reproduce", "name=mlp") == 0
    assert "mlp_again: reproduced" in capsys.readouterr().out
    assert weights(trained, "mlp_again") == before
    assert weights(trained, "mlp") == before


def test_a_tracked_run_trained_again_has_the_same_weights(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(monkeypatch, "reproduce", f"run={run_id(trained)}") == 0
    assert weights(trained, "mlp_again") == weights(trained, "mlp")


def test_another_seed_is_an_exit_code_of_1(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trained / "models" / "mlp" / "model.json"
    description = fields_of(path)
    description["settings"]["seed"] = 1
    write_fields(path, description)
    assert command(monkeypatch, "reproduce", "name=mlp") == 1


def test_other_weights_come_with_the_metrics_that_differ(
    trained: Path, recorded: RecordedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    other_seed = replace(recorded, settings={**recorded.settings, "seed": 1})
    reproduction = reproduce(other_seed, root=trained)
    assert not reproduction.same_weights
    then, now = reproduction.differing["val/loss"]
    assert then == recorded.history[-1].metrics["val/loss"] != now
    assert not any(name.startswith("time/") for name in reproduction.differing)
    assert f"  val/loss: {then!r} then, {now!r} now" in capsys.readouterr().out


def test_other_weights_come_with_the_reasons_that_the_records_show(
    trained: Path, recorded: RecordedRun
) -> None:
    elsewhere = replace(
        recorded,
        summary={**recorded.summary, "num_threads": "4096"},
        tags={**recorded.tags, "environment.lock.sha256": "another", "git.dirty": "true"},
    )
    num_threads, packages, code = reproduce(elsewhere, root=trained).reasons
    assert num_threads == "num_threads: 4096 then, 1 now"
    assert packages == "the packages: requirements.lock of that commit"
    assert code == "the code had changes that were not committed"


def test_other_data_is_refused_before_training(trained: Path, recorded: RecordedRun) -> None:
    with pytest.raises(DataError, match="000000000000…"):
        reproduce(replace(recorded, data_sha256="0" * 64), root=trained)
    assert not (trained / "models" / "mlp_again").exists()


def test_a_model_that_has_the_name_already_stays(trained: Path, recorded: RecordedRun) -> None:
    mine = compose([*QUICK, "name=mlp_again", "model.width=8", "tracking=none"], root=trained)
    train(mine, root=trained, output=trained)
    before = weights(trained, "mlp_again")
    for _ in range(2):
        again = reproduce(recorded, root=trained)
        assert (again.name, again.same_weights) == ("mlp_again_2", True)
    assert weights(trained, "mlp_again") == before
    assert not (trained / "models" / "mlp_again_3").exists()


def test_a_run_with_the_longest_name_can_be_trained_again(
    trained: Path, recorded: RecordedRun
) -> None:
    longest = replace(recorded, settings={**recorded.settings, "name": "a" * 100})
    assert config_again(longest, root=trained).settings.name == f"{'a' * 85}_again"


def test_settings_of_another_version_come_with_their_commit(
    trained: Path, recorded: RecordedRun
) -> None:
    older = replace(
        recorded,
        settings={**recorded.settings, "option_of_old": 1},
        tags={"mlflow.source.git.commit": "abc123"},
    )
    with pytest.raises(ConfigError, match=r"option_of_old(.|\n)*git checkout abc123"):
        reproduce(older, root=trained)


def test_a_run_without_a_model_is_refused(trained: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    empty = client.create_run("0").info.run_id
    with pytest.raises(DataError, match="cannot be trained"):
        recorded_run(empty, uri=STORE, root=trained)


def test_a_run_that_the_store_does_not_have_is_refused(trained: Path) -> None:
    with pytest.raises(TrackingError, match="run=nothing"):
        recorded_run("nothing", uri=STORE, root=trained)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_damaged_description_is_refused(project: Path, text: str) -> None:
    path = project / "models" / "mlp" / "model.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match="Train it again: pipeline train name=mlp"):
        recorded_model("mlp", root=project)


def test_a_model_that_is_not_there_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match="models/nobody: there is no such model"):
        recorded_model("nobody", root=project)


def test_name_and_run_together_are_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="run=1: give only one of name=, run="):
        reproduce_command(read_line("reproduce", "name=mlp", "run=1"))
