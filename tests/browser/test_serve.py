"""A tracked model behind MLflow's own server, by the commands of docs/serve.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from servers import free_port, serving

from browser.conftest import ROOT, pipeline
from pipeline.data.decode import decode_grey
from pipeline.data.digit_view import as_mnist
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from small_mnist import load_images

NAME = "short"
# Both sides compute in float32; the exported graph of the server may add in another order.
TOLERANCE = 1e-4


def documented(language: str, port: int) -> list[str]:
    """The blocks of code of the document, with the test's model and port in them."""
    text = (ROOT / "docs" / "serve.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [b.replace("5001", str(port)).replace("cnn", NAME) for b in blocks]


def environment() -> dict[str, str]:
    """As in an activated environment."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def picture(project: Path) -> Path:
    """A test digit as a person may have it: another size, dark on light."""
    images = load_images("test")
    digit = Image.fromarray(255 - images.images[3, 0]).resize((120, 120), Image.Resampling.BICUBIC)
    digit.save(project / "digit.png")
    return project / "digit.png"


@pytest.fixture(scope="module")
def server(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if shutil.which("curl") is None:
        pytest.skip("no curl: install it, on Debian with apt-get install curl")
    port = free_port()
    command = ["env", f"PATH={environment()['PATH']}", "bash", "-ec", documented("sh", port)[0]]
    log = tmp_path_factory.mktemp("serve") / "log"
    with serving(command, url=f"http://127.0.0.1:{port}/ping", folder=project, log=log):
        yield port


def test_a_posted_picture_gets_the_logits_of_the_model_on_disk(
    project: Path, picture: Path, server: int
) -> None:
    command = documented("sh", server)[1]
    told = subprocess.run(
        ["bash", "-ec", command],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    answer = np.array(json.loads(told.stdout)["predictions"])
    model = load_model(project / "models" / NAME)
    view = as_mnist(decode_grey(picture), size=28)[np.newaxis, np.newaxis]
    wanted = predict_logits(model.network, view, mean=model.mean, std=model.std)
    assert answer.shape == wanted.shape == (1, 10)
    np.testing.assert_allclose(answer, wanted, atol=TOLERANCE, rtol=0)
    (predicted,) = json.loads(
        pipeline(["predict", "digit.png", f"name={NAME}", "output=json"], folder=project)
    )
    assert predicted["class"] == str(answer.argmax())
    shares = np.exp(answer[0]) / np.exp(answer[0]).sum()
    assert predicted["probability"] == pytest.approx(shares.max(), abs=1e-4)


def test_a_program_that_only_scales_gets_an_answer(
    project: Path, picture: Path, server: int
) -> None:
    (code,) = documented("python", server)
    Image.fromarray(load_images("test").images[3, 0]).save(picture.with_name("plain.png"))
    program = code.replace("digit.png", "plain.png") + "\nprint(json.dumps(logits.tolist()))"
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    named, logits = told.stdout.splitlines()
    model = load_model(project / "models" / NAME)
    wanted = predict_logits(
        model.network, load_images("test").images[3:4], mean=model.mean, std=model.std
    )
    np.testing.assert_allclose(json.loads(logits), wanted, atol=TOLERANCE, rtol=0)
    assert named == str(wanted.argmax())
