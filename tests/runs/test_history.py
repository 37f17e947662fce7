"""A run read from its files: its history, its model, and files that do not belong together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DataError
from pipeline.records import EpochRecord
from pipeline.runs.history import diverged, read_run
from written_runs import gradient_signals, history_rows, write_description, write_run

ADAM = {"data": {"name": "mnist"}, "optimizer": {"name": "adam"}}
SGD = {"data": {"name": "mnist"}, "optimizer": {"name": "sgd"}}


def write_config(output: Path, settings: Mapping[str, Any]) -> Path:
    path = output / "results" / "mlp" / "config.json"
    path.write_text(json.dumps(settings))
    return path


def test_a_run_has_its_curves_its_settings_and_the_card_of_its_data(project: Path) -> None:
    write_run(project, history_rows(2.0, 1.0))
    write_config(project, ADAM)
    history = read_run("mlp", root=project).history
    assert history.curves["val/loss"].tolist() == [2.0, 1.0]
    assert history.context.settings == ADAM
    assert (history.context.num_classes, history.context.num_val) == (10, 500)


def test_the_kept_epoch_is_counted_from_0_in_the_history_and_from_1_in_the_file(
    project: Path,
) -> None:
    write_run(project, history_rows(2.0, 1.0, 3.0))
    write_description(project, name="mlp", kept_epoch=2)
    run = read_run("mlp", root=project)
    assert run.model is not None
    assert run.model.summary.kept_epoch == 2
    assert run.history.context.kept_epoch == 1


def test_without_a_configuration_the_settings_are_those_of_the_model(project: Path) -> None:
    write_run(project, history_rows(1.0))
    write_description(project, name="mlp", settings=ADAM)
    assert read_run("mlp", root=project).history.context.settings == ADAM


def test_a_run_that_diverged_has_no_model_and_its_own_settings(project: Path) -> None:
    """The model beside it is that of an earlier run."""
    write_run(project, history_rows(2.0, math.nan))
    write_config(project, SGD)
    write_description(project, name="mlp", settings=ADAM)
    run = read_run("mlp", root=project)
    assert run.model is None
    assert run.history.context.settings == SGD
    assert run.history.context.kept_epoch is None


def test_a_model_of_another_run_is_refused(project: Path) -> None:
    """A training that was killed after its history and before its model."""
    write_run(project, history_rows(1.0))
    write_config(project, SGD)
    write_description(project, name="mlp", settings=ADAM)
    with pytest.raises(DataError, match=r"of another run than .*pipeline train name=mlp"):
        read_run("mlp", root=project)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"data": 3}', "{"])
def test_a_damaged_configuration_is_refused(project: Path, text: str) -> None:
    write_run(project, history_rows(1.0))
    write_config(project, ADAM).write_text(text)
    message = r"config\.json: not a run's configuration.*pipeline train name=mlp"
    with pytest.raises(DataError, match=message):
        read_run("mlp", root=project)


def test_a_run_without_a_history_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match=r"results/mlp/history\.csv"):
        read_run("mlp", root=project)


def test_without_a_model_the_number_of_classes_is_that_of_the_signals(project: Path) -> None:
    signals = gradient_signals([[1.0]], [1])
    signals = type(signals)(signals.arrays, {**signals.metadata, "num_classes": "7"})
    write_run(project, history_rows(1.0), signals=signals)
    assert read_run("mlp", root=project).history.context.num_classes == 7


def test_a_run_of_a_sweep_is_read_from_its_job_and_its_data_from_the_project(
    project: Path, tmp_path: Path
) -> None:
    job = tmp_path / "multirun" / "3"
    write_run(job, history_rows(1.0))
    write_config(job, ADAM)
    history = read_run("mlp", root=project, output=job).history
    assert history.curves["val/loss"].tolist() == [1.0]
    assert history.context.num_val == 500


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        pytest.param({"train/loss": 1.0, "val/loss": 2.0}, False, id="finite"),
        pytest.param({"train/objective": math.nan}, True, id="objective"),
        pytest.param({"train/loss": math.inf, "val/loss": 2.0}, True, id="training_loss"),
        pytest.param({"val/loss": math.nan}, True, id="validation_loss"),
        pytest.param({"val/accuracy": math.nan}, False, id="not_a_loss"),
    ],
)
def test_a_run_has_diverged_where_a_loss_of_its_last_epoch_is_not_finite(
    metrics: dict[str, float], expected: bool
) -> None:
    healthy = EpochRecord(epoch=0, step=1, metrics={"val/loss": 1.0})
    last = EpochRecord(epoch=1, step=2, metrics=metrics)
    assert diverged([healthy, last]) is expected
    assert not diverged([last, EpochRecord(epoch=2, step=3, metrics={"val/loss": 1.0})])
