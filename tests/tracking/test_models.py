"""The network of a run as a logged model: linked, loadable, made once, ready only when whole."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow.models import infer_signature
from torch import nn

from pipeline.tracking import MODEL_TAG, Run, Tracker
from pipeline.tracking.delivery import Delivery
from pipeline.tracking.destination import Destination
from pipeline.tracking.journal import (
    Head,
    Journal,
    all_journals,
    new_key,
    open_journal,
    read_state,
    write_state,
)
from pipeline.tracking.leftovers import num_open
from pipeline.tracking.model_files import DESCRIPTION, REQUEST, write_model_files
from pipeline.tracking.sqlite_store import SqliteStore
from pipeline.tracking.store import Store

SHA256 = "c" * 64
IMAGES = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)
DATA = ("mnist", "d" * 64)
METADATA = {"class_names": ["a", "b"], "mean": [0.1]}
REQUIREMENTS = ["torch==2.15.0", "numpy", f"mlflow=={mlflow.__version__}"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 2)).eval()


def record(run: Run) -> None:
    """Everything that a training records of its network."""
    run.set_tags({MODEL_TAG: SHA256})
    run.log_model(
        network(),
        IMAGES,
        name="a.model",
        weights_sha256=SHA256,
        requirements=REQUIREMENTS,
        metadata=METADATA,
    )
    run.log_metrics({"kept/val/loss": 0.5, "kept/lost": float("nan")}, step=3, data=DATA)
    run.log_metrics({"kept/grown": float("inf"), "kept/val/loss": 0.25}, step=4, data=DATA)
    run.log_metrics({"alone": 1.0})


def the_model(tracker: Tracker) -> Any:
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    (found,) = tracker.client.search_logged_models([experiment.experiment_id])
    return found


def place_of(model: Any) -> Path:
    return Path(model.artifact_location.removeprefix("file://"))


@pytest.fixture
def recorded(tracker: Tracker) -> Run:
    run = tracker.start("mlp", tags={}, params={"optimizer": {"name": "adam"}})
    record(run)
    run.finish(resumable=True)
    return run


def test_a_network_is_a_model_that_is_linked_to_its_run_its_numbers_and_its_data(
    tracker: Tracker, recorded: Run
) -> None:
    model = the_model(tracker)
    assert (model.name, str(model.status)) == ("a-model", "READY")
    assert model.source_run_id == recorded.run_id
    assert (model.params["optimizer.name"], model.tags[MODEL_TAG]) == ("adam", SHA256)
    numbers = {(m.key, m.step): m for m in model.metrics}
    assert ("alone", 0) not in numbers
    number = numbers["kept/val/loss", 4]
    assert (number.value, number.dataset_name, number.dataset_digest) == (0.25, "mnist", "d" * 8)
    run = tracker.client.get_run(recorded.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert run.data.metrics["kept/val/loss"] == 0.25


def test_mlflow_loads_the_model_with_its_description(tracker: Tracker, recorded: Run) -> None:
    model = the_model(tracker)
    with torch.no_grad():
        wanted = network()(torch.from_numpy(IMAGES)).numpy()
    for images in (IMAGES, IMAGES[:1]):
        found = mlflow.pyfunc.load_model(str(place_of(model))).predict(images)
        np.testing.assert_allclose(found, wanted[: len(images)], atol=1e-6, rtol=0)
    described = mlflow.models.Model.load(place_of(model))
    assert (described.model_id, described.run_id) == (model.model_id, recorded.run_id)
    assert described.metadata == METADATA


class Interrupted(nn.Module):
    """A network in which a signal arrives, and which makes an error of its own of it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("cut in the middle")


def test_a_signal_that_cuts_the_export_is_no_network_that_cannot_be_exported(
    tracker: Tracker, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracker.start("mlp", tags={}, params={})
    monkeypatch.setattr("pipeline.interruption.received", lambda: signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run.log_model(
            Interrupted(), IMAGES, name="m", weights_sha256=SHA256, requirements=[], metadata={}
        )
    monkeypatch.undo()
    run.finish("KILLED")
    assert not list(project.rglob("model.pt2")) and not list(project.rglob(REQUEST))


def contents(folder: Path) -> dict[str, Any]:
    """The files of a model, without what tells two of them apart."""
    files: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pt2"
    }
    described = yaml.safe_load(files[DESCRIPTION])
    for key in ("model_uuid", "utc_time_created", "model_size_bytes"):
        assert described.pop(key)
    return {**files, DESCRIPTION: described}


def test_the_files_are_those_that_mlflow_itself_writes(tmp_path: Path) -> None:
    write_model_files(
        tmp_path / "ours", network(), IMAGES, requirements=REQUIREMENTS, metadata=METADATA
    )
    with torch.no_grad():
        signature = infer_signature(IMAGES, network()(torch.from_numpy(IMAGES)).numpy())
    mlflow.pytorch.save_model(
        network(),
        str(tmp_path / "theirs"),
        signature=signature,
        input_example=IMAGES,
        pip_requirements=REQUIREMENTS,
        metadata=METADATA,
    )
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    graphs = [torch.export.load(tmp_path / who / "data/model.pt2") for who in ("ours", "theirs")]
    assert str(graphs[0].graph) == str(graphs[1].graph)


def test_a_network_that_torch_cannot_export_costs_the_model_only(
    tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    class Branches(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1) if float(images.sum()) > 0 else images.flatten(1) * 2

    run = tracker.start("mlp", tags={})
    run.log_model(Branches(), IMAGES, name="x", weights_sha256=SHA256, requirements=[], metadata={})
    run.log_metrics({"kept/val/loss": 0.5}, data=DATA)
    run.finish(resumable=True)
    assert "did not take its model: torch cannot export this network" in capsys.readouterr().err
    assert tracker.client.get_run(run.run_id).data.metrics == {"kept/val/loss": 0.5}


def test_a_second_time_makes_no_second_model_and_no_second_number(
    tracker: Tracker, recorded: Run
) -> None:
    first = the_model(tracker)
    ((folder, _),) = all_journals(tracker.root)
    for store in (tracker.shipper.store, Store(tracker.uri, root=tracker.root)):
        write_state(folder, replace(read_state(folder), offset=0))
        Delivery(folder, store).send()
        assert num_open(folder) == 0
    second = the_model(tracker)
    assert second.model_id == first.model_id
    assert len(second.metrics) == len(first.metrics)
    run = tracker.client.get_run(recorded.run_id)
    assert len(run.outputs.model_outputs) == 1


def journal_of(tracker: Tracker, name: str) -> Journal:
    """The journal of a whole run, held by this process and not sent."""
    head = Head(new_key(), "sqlite:///mlflow.db", "mnist", name)
    journal, _ = open_journal(tracker.root, head)
    run = Run(head.key, journal, None)
    run.log_params({"optimizer": {"name": "adam"}, "long": "x" * 5500})
    record(run)
    run.finish()
    return journal


@pytest.mark.parametrize("kind", [SqliteStore, Store], ids=["directly", "by_mlflow"])
def test_a_model_whose_files_were_cut_off_is_finished_later(
    kind: Callable[..., Destination], tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    journal = journal_of(tracker, "mlp")
    with monkeypatch.context() as broken:
        broken.setattr("shutil.copytree", fails)
        with pytest.raises(OSError, match="the disk is full"):
            Delivery(journal.folder, kind(tracker.uri, root=tracker.root)).send()
    assert str(the_model(tracker).status) == "PENDING"
    Delivery(journal.folder, kind(tracker.uri, root=tracker.root)).send()
    model = the_model(tracker)
    assert str(model.status) == "READY"
    assert (place_of(model) / DESCRIPTION).is_file()


QUERIES = (
    "SELECT name, status, lifecycle_stage, model_type, status_message FROM logged_models",
    "SELECT tag_key, tag_value FROM logged_model_tags",
    "SELECT param_key, param_value FROM logged_model_params ORDER BY param_key",
    "SELECT metric_name, metric_step, metric_value, dataset_uuid, dataset_name, dataset_digest"
    " FROM logged_model_metrics ORDER BY metric_name, metric_step",
    "SELECT source_type, destination_type, step FROM inputs ORDER BY source_type",
)


def test_what_is_written_directly_is_what_mlflow_writes(
    tracker: Tracker, empty_store: Path
) -> None:
    database, seen = tracker.root / "mlflow.db", []
    for kind in (SqliteStore, Store):
        database.write_bytes(empty_store.read_bytes())
        Delivery(journal_of(tracker, "mlp").folder, kind(tracker.uri, root=tracker.root)).send()
        with sqlite3.connect(database) as store:
            rows = [store.execute(query).fetchall() for query in QUERIES]
            ((location, model_id, run_id),) = store.execute(
                "SELECT artifact_location, model_id, source_run_id FROM logged_models"
            )
            linked = store.execute(
                "SELECT source_id, destination_id FROM inputs WHERE source_type = 'RUN_OUTPUT'"
            ).fetchall()
        assert linked == [(run_id, model_id)]
        assert location == (tracker.root / "mlruns/mnist/models" / model_id / "artifacts").as_uri()
        seen.append(rows)
    assert seen[0] == seen[1]
    assert len(seen[0][3]) == 4


def test_numbers_of_a_run_without_a_model_stay_the_run_s(tracker: Tracker) -> None:
    run = tracker.start("mlp", tags={})
    run.log_metrics({"test/accuracy": 0.5}, data=DATA)
    run.finish(resumable=True)
    assert tracker.client.get_run(run.run_id).data.metrics == {"test/accuracy": 0.5}
    with sqlite3.connect(tracker.root / "mlflow.db") as store:
        assert store.execute("SELECT * FROM logged_model_metrics").fetchall() == []
