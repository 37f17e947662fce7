"""A version and its alias: the first, a better one, one that is refused, one that is forced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest

import small_mnist
from conftest import make_project
from pipeline import cli
from pipeline.data.prepare import build_prepared, take
from pipeline.data.store import load_prepared, write_prepared
from pipeline.errors import ConfigError, DataError
from pipeline.models.inference import network_inputs, predict_logits
from pipeline.models.saved import load_model
from small_mnist import BASELINES, load_images
from trained_models import TINY, train_model

# As `runs.registration.TOLERANCE`: another order of float32 additions.
TOLERANCE = 1e-3
BETTER = ("name=better", "model.width=64", "data.fraction=1.0", "data.label_noise=0.0")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose weaker model ``mlp`` is the champion of ``mnist``."""
    root = make_project(tmp_path_factory.mktemp("registered"))
    train_model(root, *TINY, "tracking=none")
    train_model(root, *TINY, "tracking=none", *BETTER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.call("register", ["name=mlp"]) == 0
    return root


@pytest.fixture
def project(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that project, as working directory."""
    root = tmp_path / "project"
    shutil.copytree(registered, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield root


def client(project: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def champion(project: Path) -> mlflow.entities.model_registry.ModelVersion:
    return client(project).get_model_version_by_alias("mnist", "champion")


def rightly(project: Path, name: str) -> np.ndarray:
    model, test = load_model(project / "models" / name), load_images("test")
    logits = predict_logits(model.network, test.images, mean=model.mean, std=model.std)
    right: np.ndarray = logits.argmax(1) == test.labels
    return right


LOAD = """
import sys
import mlflow
import numpy as np
model = mlflow.pyfunc.load_model("models:/mnist@champion")
np.save(sys.argv[2], model.predict(np.load(sys.argv[1])))
"""


def test_the_champion_that_mlflow_loads_answers_as_the_network(project: Path) -> None:
    """Another process, which knows nothing of this package, loads it by its alias."""
    model, images = load_model(project / "models/mlp"), load_images("test").images
    np.save("inputs.npy", network_inputs(images, mean=model.mean, std=model.std))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    command = [sys.executable, "-c", LOAD, "inputs.npy", "logits.npy"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wanted = predict_logits(model.network, images, mean=model.mean, std=model.std)
    np.testing.assert_allclose(np.load("logits.npy"), wanted, atol=TOLERANCE, rtol=0)


def test_the_first_version_keeps_its_figures_and_its_logged_model(project: Path) -> None:
    version = champion(project)
    assert version.tags["gate.outcome"] == "first"
    assert float(version.tags["test.accuracy"]) == rightly(project, "mlp").mean()
    model = client(project).get_logged_model(version.source.removeprefix("models:/"))
    assert model.tags["model.sha256"] == load_model(project / "models/mlp").weights_sha256
    assert version.run_id == model.source_run_id


def test_a_better_model_takes_the_alias_beyond_noise(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    better, weaker = rightly(project, "better"), rightly(project, "mlp")
    gained, lost = int((better & ~weaker).sum()), int((weaker & ~better).sum())
    assert gained > lost + 20, "the test needs two models that differ clearly"
    capsys.readouterr()

    assert cli.call("register", ["name=better"]) == 0
    told = capsys.readouterr().out
    assert f"right on {gained} images, only the other on {lost} (McNemar p = " in told
    assert told.endswith("models:/mnist@champion is version 2 now: better beyond noise\n")
    tags = champion(project).tags
    assert (tags["gate.gained"], tags["gate.lost"]) == (str(gained), str(lost))

    assert cli.call("register", ["name=mlp"]) == 4
    told = capsys.readouterr().out
    assert f"right on {lost} images, only the other on {gained} (" in told
    assert "refused: not better beyond noise, so models:/mnist@champion stays version 2" in told
    assert int(champion(project).version) == 2

    assert cli.call("register", ["name=mlp", "force=it is ten times smaller"]) == 0
    assert capsys.readouterr().out.endswith("is version 3 now: forced\n")
    assert champion(project).tags["gate.reason"] == "it is ten times smaller"


def test_the_champion_itself_stays_as_it_is(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call("register", ["name=mlp"]) == 0
    assert capsys.readouterr().out.endswith("is this model already: version 1\n")
    assert len(client(project).search_model_versions("name = 'mnist'")) == 1


def test_models_of_different_test_sets_are_not_compared(project: Path) -> None:
    prepared = load_prepared(project / "data/processed/mnist")
    write_prepared(
        build_prepared(
            prepared.train,
            prepared.val,
            take(prepared.test, np.arange(400)),
            name="other",
            class_names=tuple("0123456789"),
            split_seed=0,
            baselines=BASELINES,
        ),
        project / "data/processed/other",
    )
    train_model(project, *TINY, "tracking=none", "name=elsewhere", "data.name=other")
    with pytest.raises(DataError, match=r"tested on another test set .*, so the two cannot be"):
        cli.call("register", ["name=elsewhere", "into=mnist"])
    assert int(champion(project).version) == 1
    assert cli.call("register", ["name=elsewhere"]) == 0  # under the name of its own data


def test_data_that_was_prepared_anew_is_refused(project: Path) -> None:
    small_mnist.write_prepared(project / "data/processed/mnist", num_train=1000)
    with pytest.raises(DataError, match="is not the data that models/better was trained on"):
        cli.call("register", ["name=better"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["force=true"], "must say why in a few words", id="no_reason"),
        pytest.param(["alias=latest"], "MLflow keeps this word for itself", id="latest"),
        pytest.param(["alias=v2"], "MLflow keeps this word for itself", id="a_version"),
    ],
)
def test_a_wrong_option_is_told(words: list[str], told: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        cli.call("register", ["name=mlp", *words])
