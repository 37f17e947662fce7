"""Other people's histories: each format with numbers known by hand, and what is refused."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline import cli
from pipeline.diagnosis.readers import history_of, read_curves
from pipeline.diagnosis.readers.names import SYNONYMS, matched
from pipeline.errors import DataError, TrackingError, TrainingError
from pipeline.stages.diagnose import read_own

KERAS = (
    "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.0,0.6,0.9\n1,0.7,0.6,0.65,0.8\n2,0.9,0.2,0.66,0.85\n"
)
LIGHTNING = (
    "epoch,step,train_loss_epoch,train_loss_step,val_loss\n"
    "0,49,,1.3,\n0,99,,,0.9\n0,99,1.0,,\n1,149,,0.8,\n1,199,,,0.8\n1,199,0.6,,\n"
)
CASES = {
    "keras": (KERAS, [0.9, 0.8, 0.85], [1.0, 0.6, 0.2]),
    "lightning": (LIGHTNING, [0.9, 0.8], [1.0, 0.6]),
    "semicolons and a mark": (
        "\ufeffEpoch;Train Loss;Valid Loss\n1;1.0;0.9\n2;0.6;0.8\n",
        [0.9, 0.8],
        [1.0, 0.6],
    ),
    "no epoch": ("train_loss,val_loss\n1.0,0.9\n0.6,0.8\n", [0.9, 0.8], [1.0, 0.6]),
    "not a number": ("epoch,loss,val_loss\n0,1.0,0.9\n1,nan,inf\n", [0.9, math.inf], [1.0, math.nan]),
    "lists": (json.dumps({"loss": [1.0, 0.6], "val_loss": [0.9, 0.8]}), [0.9, 0.8], [1.0, 0.6]),
    "rows": (
        json.dumps([{"epoch": 1, "loss": 1.0, "val_loss": 0.9}, {"epoch": 2, "loss": 0.6, "val_loss": 0.8}]),
        [0.9, 0.8],
        [1.0, 0.6],
    ),
    "hugging face": (
        json.dumps(
            {
                "log_history": [
                    {"epoch": 0.5, "step": 5, "loss": 1.4},
                    {"epoch": 1.0, "step": 10, "loss": 1.0},
                    {"epoch": 1.0, "step": 10, "eval_loss": 0.9},
                    {"epoch": 2.0, "step": 20, "loss": 0.6},
                    {"epoch": 2.0, "step": 20, "eval_loss": 0.8},
                ]
            }
        ),
        [0.9, 0.8],
        [1.0, 0.6],
    ),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("case", CASES)
def test_each_format_gives_the_same_curves(case: str, tmp_path: Path) -> None:
    text, val, train = CASES[case]
    found = read_curves(written(tmp_path, text))
    np.testing.assert_array_equal(found.curves["val/loss"], val)
    np.testing.assert_array_equal(found.curves["train/loss"], train)
    assert found.epochs.tolist() == list(range(len(val)))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "0 lines"),
        ("epoch,loss\n", "1 lines"),
        ("epoch,speed,heat\n0,1,2\n1,2,3\n", "no known curve among speed, heat"),
        ("epoch,val_los\n0,1\n1,2\n", "Did you mean val_loss"),
        ("epoch,loss\n0,1.0\n1,abc\n", "line 3, loss: 'abc' is not a number"),
        ("epoch,loss\n0,1.0,7\n", "line 2: has 3 cells, the header 2"),
        ("epoch,loss\n0,1.0\n2,0.5\n1,0.6\n1,0.7\n", "two values at 1"),
        ("epoch,loss,loss\n0,1.0,2.0\n1,1.0,1.0\n", "two columns named loss"),
        ("epoch,loss,val_accuracy\n0,1.0,55.0\n1,0.9,60\n", "share from 0 to 1"),
        ('{"loss": [1, 2], "val_loss": [1]}', "differ in length"),
        ('{"loss": [1, "x"], "val_loss": [1, 2]}', "'x' is not a number"),
        ('{"loss": [1, 2', "not valid JSON"),
        ("[1, 2, 3]", "a dictionary of lists, or a list of dictionaries"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_history_is_refused_with_its_place(text: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(word)):
        read_curves(written(tmp_path, text))


def test_a_file_that_is_missing_binary_or_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00\x81")
    for path, word in (
        (tmp_path / "no.csv", "cannot be read"),
        (tmp_path / "x.bin", "is not text"),
        (tmp_path, "folder"),
    ):
        with pytest.raises(DataError, match=word):
            read_curves(path)


def test_every_synonym_stands_for_one_curve_only() -> None:
    for curve, names in SYNONYMS.items():
        for name in names:
            assert matched([name]) == {curve: name}


def test_our_own_name_is_preferred_to_a_running_mean() -> None:
    assert matched(["loss", "train/loss"])["train/loss"] == "train/loss"


def test_a_log_by_step_gives_each_epoch_the_last_value_before_its_end() -> None:
    points = {
        "train_loss": [(s, 10.0 - s) for s in range(1, 10)],
        "val_loss": [(3.0, 0.9), (6.0, 0.8), (9.0, 0.7)],
    }
    from pipeline.diagnosis import Context

    found = history_of(points, context=Context(), name="x")
    assert found.curves["train/loss"].tolist() == [7.0, 4.0, 1.0]


def test_overfitting_in_a_keras_log_is_found_by_the_command(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{e},0.99,{0.5 * 0.5**e:.5f},0.9,{0.3 + 0.02 * e:.5f}" for e in range(12)]
    path = written(project, "epoch,accuracy,loss,val_accuracy,val_loss\n" + "\n".join(rows) + "\n")
    assert cli.COMMANDS["diagnose"]([f"history={path}", "num_classes=10", "output=json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "overfitting"
    assert {"dead_units", "vanishing_gradients"} <= {rule["verdict"] for rule in told["not_run"]}


def test_a_run_of_another_program_is_read_from_its_mlflow_store(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("theirs"), run_name="foreign")
    for epoch in range(12):
        client.log_metric(run.info.run_id, "loss", 0.5 * 0.5**epoch, step=epoch)
        client.log_metric(run.info.run_id, "val_loss", 0.3 + 0.02 * epoch, step=epoch)
    cli.COMMANDS["diagnose"]([f"run={run.info.run_id}", "output=json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["verdict"]) == ("foreign", "overfitting")
    with pytest.raises(TrackingError, match="run=0123456789abcdef"):
        cli.COMMANDS["diagnose"](["run=0123456789abcdef"])


def test_our_own_run_is_read_from_mlflow_with_all_its_signals(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    options = ["name=deep", "model.depth=12", "model.width=32", "activation=sigmoid", "init=xavier"]
    cli.COMMANDS["train"]([*options, "trainer.max_epochs=3", "trainer.accelerator=cpu"])
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert runs[0].data.tags["diagnosis.verdict"] == "vanishing_gradients"
    assert 0 < float(runs[0].data.tags["diagnosis.confidence"]) <= 1
    capsys.readouterr()
    cli.COMMANDS["diagnose"]([f"run={runs[0].info.run_id}", "output=json"])
    by_run = json.loads(capsys.readouterr().out)
    cli.COMMANDS["diagnose"](["name=deep", "output=json"])
    by_name = json.loads(capsys.readouterr().out)
    assert by_run["verdict"] == by_name["verdict"] == "vanishing_gradients"
    assert by_run["findings"][0]["conditions"] == by_name["findings"][0]["conditions"]
    written_json = json.loads((project / "results/deep/diagnosis.json").read_text())
    assert written_json == by_name
    assert (project / "results/deep/diagnosis.png").read_bytes().startswith(b"\x89PNG")
    cli.COMMANDS["diagnose"](["name=deep"])
    told = capsys.readouterr().out
    assert "vanishing gradients" in told and "pipeline train name=deep_relu" in told


def test_a_run_that_diverged_is_described_by_its_own_settings_not_by_an_earlier_model(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["name=steep", "model.width=16", "trainer.max_epochs=2", "tracking=none"]
    cli.COMMANDS["train"](options)
    steep = [*options, "optimizer=sgd", "optimizer.learning_rate=1e8"]
    with pytest.raises(TrainingError):
        cli.COMMANDS["train"](steep)
    assert "what to do: pipeline diagnose name=steep" in capsys.readouterr().out
    assert (project / "models/steep/model.json").is_file()
    history, told = read_own("steep", root=project)
    assert not told  # Adam at 1e-3 is not what diverged
    assert history.context.settings["optimizer"]["learning_rate"] == 1e8
    assert history.context.kept_epoch is None and history.context.baselines
    assert history.context.num_val == 500
    cli.COMMANDS["diagnose"](["name=steep"])
    shown = capsys.readouterr().out
    assert "learning rate too high" in shown and "pipeline train name=steep_usual_learning_rate" in shown
    (project / "results/steep/config.json").unlink()
    with pytest.raises(DataError, match="are missing, so the configuration"):
        cli.COMMANDS["verify"](["name=steep"])


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"data": 3}', "{"])
def test_a_damaged_configuration_is_told(project: Path, text: str) -> None:
    cli.COMMANDS["train"](["name=odd", "model.width=8", "trainer.max_epochs=1", "tracking=none"])
    (project / "results/odd/config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json: not a run's description.*pipeline train name=odd"):
        cli.COMMANDS["diagnose"](["name=odd"])


def test_a_model_of_another_run_than_the_history_s_is_refused(project: Path) -> None:
    """A training that was killed after its history and before its model."""
    cli.COMMANDS["train"](["name=odd", "model.width=8", "trainer.max_epochs=1", "tracking=none"])
    path = project / "results/odd/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
    with pytest.raises(DataError, match="of another run than"):
        cli.COMMANDS["diagnose"](["name=odd"])


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        (["nmae=x"], "diagnose knows"),
        (["name=a", "run=b"], "give one of"),
        (["output=xml"], "text or json"),
        (["num_classes=1"], "from 2 up"),
        (["history=none.csv"], "cannot be read"),
        (["run=abc"], "no such store"),
        (["name=nothing"], "does not exist"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(project: Path, overrides: list[str], word: str) -> None:
    before = sorted(p for p in project.rglob("*"))
    with pytest.raises(Exception, match=word) as caught:
        cli.COMMANDS["diagnose"](overrides)
    assert type(caught.value).__module__ == "pipeline.errors"
    assert sorted(p for p in project.rglob("*")) == before
