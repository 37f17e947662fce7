"""A model that is recorded by a real server: it arrives whole, and others load it from there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from tests.tracking.faulty_server import Server
from tests.tracking.waiting import wait_until

from coloured import make_coloured
from conftest import make_project
from pipeline import cli
from pipeline.config.schema import Tracking
from pipeline.data.store import load_split
from pipeline.evaluation.metrics_files import read_metrics
from pipeline.models.inference import network_inputs, predict_logits
from pipeline.models.saved import SavedModel, load_model
from pipeline.tracking import where_its_run_is
from pipeline.tracking.journal import all_journals

SIDE = 16
DATA = ("data=image_folder", "data.path=photos", "data.channels=3", f"data.image_size={SIDE}")
NETWORK = (
    *("name=own", "model=cnn", "model.width=4", "model.dense=8", "trainer.max_epochs=1"),
    *("trainer.accelerator=cpu", "data.batch_size=16", "signals=none"),
)
# The graph that MLflow keeps may add float32 numbers in another order than the network.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def trained(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that recorded its model ``own`` of coloured pictures on the server."""
    root = make_project(tmp_path_factory.mktemp("trained"))
    make_coloured(root / "photos", side=SIDE, counts=(12, 12, 12))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.call("preprocess", DATA) == 0
        assert cli.call("train", [*DATA, *NETWORK, f"tracking.uri={server.url}"]) == 0
        wait_until(lambda: all_journals(root) == [])
    return root


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return trained


LOAD = """
import sys
import mlflow
import numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
np.save("logits.npy", model.predict(np.load("inputs.npy")))
"""


def answers_elsewhere(uri: str, model: SavedModel, *, server: Server, folder: Path) -> np.ndarray:
    """The logits of another process in another folder, which knows the server and no package."""
    test = load_split(Path("data/processed/photos"), "test").images
    np.save(folder / "inputs.npy", network_inputs(test, mean=model.mean, std=model.std))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.url}
    command = [sys.executable, "-c", LOAD, uri]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    wanted = predict_logits(model.network, test, mean=model.mean, std=model.std)
    found = np.load(folder / "logits.npy")
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=0)
    return np.asarray(found)


def test_the_logged_model_loads_from_the_server(
    project: Path, server: Server, tmp_path: Path
) -> None:
    client, model = mlflow.MlflowClient(server.url), load_model(project / "models/own")
    experiment = client.get_experiment_by_name("photos")
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert (str(logged.status), logged.name) == ("READY", "own")
    assert logged.tags["model.sha256"] == model.weights_sha256
    assert logged.artifact_location.startswith("mlflow-artifacts:/")
    answers_elsewhere(f"models:/{logged.model_id}", model, server=server, folder=tmp_path)
    assert not list(project.glob("mlruns/*"))


def test_the_champion_loads_from_the_server(project: Path, server: Server, tmp_path: Path) -> None:
    assert cli.call("register", ["name=own"]) == 0
    model = load_model(project / "models/own")
    answers_elsewhere("models:/photos@champion", model, server=server, folder=tmp_path)
    assert not (project / "mlflow.db").exists()


def test_an_evaluation_adds_to_the_run_on_the_server(project: Path, server: Server) -> None:
    """Its words name no store, and ``conf/`` names another one."""
    assert cli.call("evaluate", ["name=own", "evaluation.num_resamples=100"]) == 0
    wait_until(lambda: all_journals(project) == [])
    client = mlflow.MlflowClient(server.url)
    (run,) = client.search_runs([client.get_experiment_by_name("photos").experiment_id])
    measured = read_metrics(project / "results/own")["test/accuracy"]
    assert run.data.metrics["test/accuracy"] == measured
    assert not (project / "mlflow.db").exists()


HERE, SERVER = "sqlite:///mlflow.db", "http://mlflow:5000"
CASES = {
    "no_word_on_a_store": ((), True, SERVER),
    "another_key": (("tracking.system_metrics",), True, SERVER),
    "a_store_is_named": (("tracking.uri",), True, HERE),
    "a_group_is_named": (("tracking",), True, HERE),
    "a_model_without_a_run": ((), False, HERE),
}


@pytest.mark.parametrize(("explicit", "enabled", "uri"), CASES.values(), ids=CASES)
def test_the_store_of_a_later_command(explicit: tuple[str, ...], enabled: bool, uri: str) -> None:
    given = {"enabled": True, "tensorboard": False, "model": "auto"}
    asked = Tracking.model_validate({**given, "uri": HERE, "experiment": "mnist"})
    trained = Tracking.model_validate(
        {**given, "uri": SERVER, "experiment": "photos", "enabled": enabled}
    )
    found = where_its_run_is(asked, trained, explicit=set(explicit))
    assert (found.uri, found.experiment, found.enabled) == (uri, "photos", True)
