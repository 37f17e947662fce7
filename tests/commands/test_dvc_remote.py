"""A colleague starts from pulled models: a remote, a second clone, no training (docs/dvc.md)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = "train@mlp"
PEOPLE = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")


def sh(line: str, folder: Path) -> str:
    """Run a line as in an activated environment; return what it prints."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        **dict.fromkeys((f"GIT_{who}" for who in PEOPLE), "a@example.org"),
    }
    done = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def first(tiny_model: Path) -> Path:
    """A project in Git whose model DVC knows as the output of its stage."""
    for name in ("dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, tiny_model / name)
    shutil.copytree(ROOT / "src" / "pipeline", tiny_model / "src" / "pipeline")
    shutil.copy(ROOT / "docs" / "pictures" / "three.png", tiny_model / "photo.png")
    sh(f"git init -q && dvc init -q && dvc commit -q --force {STAGE}", tiny_model)
    sh("git add . && git commit -qm 'Train the model'", tiny_model)
    return tiny_model


def blocks_of(title: str) -> list[str]:
    """The shell blocks of a part of docs/dvc.md."""
    _, _, part = (ROOT / "docs" / "dvc.md").read_text().partition(f"## {title}\n")
    return re.findall(r"```sh\n(.*?)```", part.partition("\n## ")[0], re.DOTALL)


def test_a_second_clone_predicts_from_pulled_models_without_training(
    first: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    share, pull = blocks_of("Share models")
    share = share.replace("/mnt/shared/mnist", str(folder / "remote"))
    sh(share.replace("dvc push", f"dvc push -q {STAGE}"), first)
    pull = pull.replace("<address>", str(first)).replace("make install", "true")
    pull = pull.replace("source .venv/bin/activate", "true").replace("name=cnn", "name=mlp")
    told = sh(pull.replace("dvc pull", f"dvc pull -q {STAGE}"), folder)

    second = folder / "mnist"
    assert "photo.png" in told and "%" in told
    for name in ("models/mlp/model.safetensors", "results/mlp/history.csv"):
        assert (second / name).read_bytes() == (first / name).read_bytes()
    assert not (second / "data").exists() and not (second / "mlflow.db").exists()
    (one,), (other,) = (
        json.loads(sh("pipeline predict photo.png name=mlp output=json", each))
        for each in (first, second)
    )
    assert (one["class"], one["probability"]) == (other["class"], other["probability"])
    assert "up to date" in sh(f"dvc status {STAGE}", first)
