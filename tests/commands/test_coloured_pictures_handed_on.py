"""A model of coloured pictures outside of this project: MLflow's files and registry, one file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.pyfunc import scoring_server
from PIL import Image

from coloured import make_coloured
from conftest import make_project
from pipeline import cli
from pipeline.models.saved import load_model

SIDE, COUNTS = 20, (12, 12, 12)
DATA = ("data=image_folder", "data.path=photos", "data.channels=3", f"data.image_size={SIDE}")
NETWORK = (
    *("name=own", "model=resnet", "model.width=4", "model.depth=2", "model.blocks_per_stage=1"),
    *("trainer.accelerator=cpu", "trainer.max_epochs=1", "data.batch_size=16", "signals=none"),
)
# Another order of float32 additions.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose model ``own`` of coloured pictures is recorded in MLflow."""
    root = make_project(tmp_path_factory.mktemp("trained"))
    make_coloured(root / "photos", side=SIDE, counts=COUNTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.call("preprocess", DATA) == 0
        assert cli.call("train", [*DATA, *NETWORK]) == 0
    return root


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(trained)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield trained


@pytest.fixture
def pixels(project: Path) -> np.ndarray:
    """``[N, 3, H, W]`` uint8 as Pillow reads the files: red, green, blue."""
    files = sorted((project / "photos").glob("*/*.png"))
    return np.stack([np.asarray(Image.open(file)).transpose(2, 0, 1) for file in files])


@pytest.fixture
def standardised(project: Path, pixels: np.ndarray) -> np.ndarray:
    """As the metadata of the model says: ``(pixel / 255 - mean) / std``, for each channel."""
    described = json.loads((project / "models/own/model.json").read_text())
    mean, std = (np.reshape(described[key], (3, 1, 1)) for key in ("mean", "std"))
    assert mean.std() > 1e-3, "the test needs channels that differ"
    return ((pixels / 255 - mean) / std).astype(np.float32)


@pytest.fixture
def logits(project: Path, standardised: np.ndarray) -> np.ndarray:
    """The network's own answers."""
    with torch.no_grad():
        found = load_model(project / "models/own").network(torch.from_numpy(standardised))
    return np.asarray(found.numpy())


@pytest.fixture
def recorded(project: Path) -> Path:
    """The folder of the model's files in MLflow."""
    client = mlflow.MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("photos")
    (model,) = client.search_logged_models([experiment.experiment_id])
    return Path(model.artifact_location.removeprefix("file://"))


def test_mlflow_loads_the_recorded_model_of_colours(
    recorded: Path, standardised: np.ndarray, logits: np.ndarray
) -> None:
    model = mlflow.pyfunc.load_model(str(recorded))
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 3, SIDE, SIDE)
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, len(COUNTS))
    np.testing.assert_allclose(model.predict(standardised), logits, atol=TOLERANCE, rtol=0)
    with pytest.raises(mlflow.MlflowException, match="shape"):
        model.predict(standardised[:, :1])


def test_a_server_takes_the_request_that_predict_writes(
    recorded: Path, project: Path, logits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the code of ``mlflow models serve`` that answers a request."""
    capsys.readouterr()
    folders = [f"photos/class_{label:02}" for label in range(len(COUNTS))]
    assert cli.call("predict", [*folders, "name=own", "output=inputs"]) == 0
    model = mlflow.pyfunc.load_model(str(recorded))
    answer = scoring_server.invocations(
        capsys.readouterr().out, "application/json", model, model.metadata.get_input_schema()
    )
    assert answer.status == 200
    found = np.array(json.loads(answer.response)["predictions"])
    np.testing.assert_allclose(found, logits, atol=TOLERANCE, rtol=0)
    assert cli.call("predict", [*folders, "name=own", "output=json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert [p["class"] for p in predicted] == [f"class_{i:02}" for i in logits.argmax(1)]


def test_the_registered_champion_is_that_model(
    project: Path, standardised: np.ndarray, logits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.call("register", ["name=own"]) == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    champion = mlflow.pyfunc.load_model("models:/photos@champion")
    np.testing.assert_allclose(champion.predict(standardised), logits, atol=TOLERANCE, rtol=0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def by_onnx_runtime(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def by_torch(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    network = torch.export.load(file).module()
    return lambda images: np.asarray(network(torch.from_numpy(images)).detach().numpy())


@pytest.mark.parametrize(("form", "run"), [("onnx", by_onnx_runtime), ("pt2", by_torch)])
def test_the_exported_file_takes_the_pixels_of_a_picture(
    form: str,
    run: Callable[[Path], Callable[[np.ndarray], np.ndarray]],
    project: Path,
    pixels: np.ndarray,
    logits: np.ndarray,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.call("export", ["name=own", f"format={form}"]) == 0
    assert "differ by at most" in capsys.readouterr().out
    answer = run(project / "exports" / f"own.{form}")
    for images in (pixels, pixels[:1]):
        found = answer(images)
        assert found.shape == (len(images), len(COUNTS))
        np.testing.assert_allclose(found, logits[: len(images)], atol=TOLERANCE, rtol=0)
