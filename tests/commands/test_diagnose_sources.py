"""``pipeline diagnose`` on other programs' histories, tracked runs, our own runs, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.errors import DataError, TrackingError, TrainingError
from pipeline.runs.history import read_run
from sealed_records import fields_of


def test_overfitting_in_a_keras_log_is_found_by_the_command(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{e},0.99,{0.5 * 0.5**e:.5f},0.9,{0.3 + 0.02 * e:.5f}" for e in range(12)]
    path = project / "log.csv"
    path.write_text("epoch,accuracy,loss,val_accuracy,val_loss\n" + "\n".join(rows) + "\n")
    assert cli.call("diagnose", [f"history={path}", "num_classes=10", "output=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "overfitting"
    assert (told["version"], told["family"]) == (2, "fits_and_fails")


def test_a_run_of_another_program_is_read_from_its_mlflow_store(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("theirs"), run_name="foreign")
    for epoch in range(12):
        client.log_metric(run.info.run_id, "loss", 0.5 * 0.5**epoch, step=epoch)
        client.log_metric(run.info.run_id, "val_loss", 0.3 + 0.02 * epoch, step=epoch)
    cli.call("diagnose", [f"run={run.info.run_id}", "output=json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["verdict"]) == ("foreign", "overfitting")
    with pytest.raises(TrackingError, match="run=0123456789abcdef"):
        cli.call("diagnose", ["run=0123456789abcdef"])


def test_our_own_run_is_read_from_mlflow_with_all_its_signals(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    options = ["name=deep", "model.depth=12", "model.width=32", "activation=sigmoid", "init=xavier"]
    cli.call("train", [*options, "trainer.max_epochs=3", "trainer.accelerator=cpu"])
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert runs[0].data.tags["diagnosis.verdict"] == "vanishing_gradients"
    assert 0 < float(runs[0].data.tags["diagnosis.confidence"]) <= 1
    capsys.readouterr()
    cli.call("diagnose", [f"run={runs[0].info.run_id}", "output=json"])
    by_run = json.loads(capsys.readouterr().out)
    cli.call("diagnose", ["name=deep", "output=json"])
    by_name = json.loads(capsys.readouterr().out)
    assert by_run["verdict"] == by_name["verdict"] == "vanishing_gradients"
    assert by_run["findings"][0]["conditions"] == by_name["findings"][0]["conditions"]
    written_json = fields_of(project / "results/deep/diagnosis.json")
    assert written_json == by_name
    assert (project / "results/deep/diagnosis.png").read_bytes().startswith(b"\x89PNG")
    cli.call("diagnose", ["name=deep"])
    told = capsys.readouterr().out
    assert "vanishing gradients" in told and "pipeline train name=deep_relu" in told


def test_a_run_that_diverged_is_described_by_its_own_settings_not_by_an_earlier_model(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["name=steep", "model.width=16", "trainer.max_epochs=2", "tracking=none"]
    cli.call("train", options)
    steep = [*options, "optimizer=sgd", "optimizer.learning_rate=1e8"]
    with pytest.raises(TrainingError):
        cli.call("train", [*steep, "overwrite=true"])
    assert "what to do: pipeline diagnose name=steep" in capsys.readouterr().out
    assert (project / "models/steep/model.json").is_file()
    run = read_run("steep", root=project)
    assert run.model is None  # Adam at 1e-3 did not diverge
    history = run.history
    assert history.context.settings["optimizer"]["learning_rate"] == 1e8
    assert history.context.kept_epoch is None and history.context.baselines
    assert history.context.num_val == 500
    cli.call("diagnose", ["name=steep"])
    shown = capsys.readouterr().out
    assert (
        "learning rate too high" in shown
        and "pipeline train name=steep_usual_learning_rate" in shown
    )
    (project / "results/steep/config.json").unlink()
    with pytest.raises(DataError, match="are missing, so the configuration"):
        cli.call("verify", ["name=steep"])


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["nmae=x"], "nmae=x: unknown option of diagnose. Did you mean name="),
        (["name=a", "run=b"], "run=b: give only one of name=, run=, history="),
        (["output=xml"], "output=xml: unknown. Known: json, text"),
        (["num_classes=1"], "num_classes=1: .*2"),
        (["name=a", "num_classes=5"], "num_classes=5: has no effect without run= or history="),
        (["history=none.csv"], "cannot be read"),
        (["run=abc"], "no such store"),
        (["name=nothing"], "To train it: pipeline train name=nothing"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(
    project: Path, overrides: list[str], word: str
) -> None:
    before = sorted(p for p in project.rglob("*"))
    with pytest.raises(Exception, match=word) as caught:
        cli.call("diagnose", overrides)
    assert type(caught.value).__module__ == "pipeline.errors"
    assert sorted(p for p in project.rglob("*")) == before
