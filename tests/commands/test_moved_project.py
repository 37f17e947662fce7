"""A project with a trained model, copied as a whole: its commands work on the copy alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pytest

from conftest import make_project
from pipeline import cli
from pipeline.commands.train_job import train
from pipeline.config import compose

QUICK = (
    "trainer.accelerator=cpu",
    "trainer.precision=32",
    "model.width=16",
    "trainer.max_epochs=2",
    "tracking.model=false",
)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["pipeline", *arguments])
    return cli.main()


def run_id(root: Path) -> str:
    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "mnist"]
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'mlp'")
    return str(run.info.run_id)


def files_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_copied_project_works_without_the_first_one_and_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    make_project(old)
    monkeypatch.chdir(old)
    train(compose(QUICK, root=old), root=old, output=old)
    shutil.copytree(old, new)
    run, before = run_id(old), files_of(old)

    monkeypatch.chdir(new)
    capsys.readouterr()
    assert command(monkeypatch, "diagnose", "name=mlp", "output=json") == 0
    by_name = json.loads(capsys.readouterr().out)
    assert command(monkeypatch, "diagnose", f"run={run}", "output=json") == 0
    printed = capsys.readouterr()
    by_run = json.loads(printed.out)
    assert by_run["verdict"] == by_name["verdict"]
    assert by_run["confidence"] == by_name["confidence"]
    assert printed.err == ""
    assert command(monkeypatch, "reproduce", f"run={run}") == 0
    assert "the weights are the same" in capsys.readouterr().out

    assert files_of(old) == before
    (diagnosed,) = (new / "mlruns" / "mnist" / run).rglob("diagnosis.json")
    assert diagnosed.is_file()

    shutil.rmtree(new / "mlruns")
    shutil.rmtree(old)
    assert command(monkeypatch, "diagnose", f"run={run}") == 0
    told = capsys.readouterr().err
    assert "judged by its curves alone" in told
    assert f"Copy the mlruns/ of the project that trained it to {new}/mlruns." in told
