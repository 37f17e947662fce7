"""What a person sees after `make repro`: run by CI in a fresh clone, after that command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.evaluation.metrics_files import HEADLINE

ROOT = Path(__file__).parents[2]
MODELS = ("mlp", "cnn")
PAGE = ROOT / "results" / "report_mlp_cnn.html"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="needs the outputs of `make repro`")


def dvc(*arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def on_disk(model: str) -> dict[str, float]:
    numbers: dict[str, float] = json.loads((ROOT / "results" / model / "metrics.json").read_text())
    return numbers


@pytest.mark.parametrize("model", MODELS)
def test_one_number_has_one_value(model: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{ROOT / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    run = client.search_runs(
        [experiment.experiment_id], f"attributes.run_name = '{model}'", max_results=1
    )[0]
    shown = json.loads(dvc("metrics", "show", "--json"))
    by_dvc = shown[""]["data"][str(Path("results") / model / "metrics.json")]["data"]
    assert by_dvc == on_disk(model) and len(by_dvc) == len(HEADLINE)
    for short, value in by_dvc.items():
        assert run.data.metrics[HEADLINE[short]] == value, short


def test_the_headlines_fit_on_a_screen() -> None:
    table = dvc("metrics", "show").splitlines()
    assert table[0].split() == ["Path", *HEADLINE]
    assert max(map(len, table)) <= 100


@pytest.mark.parametrize(("model", "at_least"), [("mlp", 0.975), ("cnn", 0.988)])
def test_models_have_learned(model: str, at_least: float) -> None:
    assert on_disk(model)["acc"] >= at_least


def test_a_second_repro_does_nothing() -> None:
    started = time.perf_counter()
    told = dvc("repro")
    assert "Data and pipelines are up to date." in told
    assert time.perf_counter() - started < 60  # a training would take longer


def test_only_what_depends_on_a_file_is_stale() -> None:
    path = ROOT / "conf" / "model" / "mlp.yaml"
    before = path.read_text()
    try:
        path.write_text(before.replace("width: 512", "width: 511"))
        stale = json.loads(dvc("status", "--json"))
    finally:
        path.write_text(before)
    assert "train@mlp" in stale
    assert not [stage for stage in stale if "cnn" in stage]


def test_the_report_stands_alone() -> None:
    page = PAGE.read_text()
    assert "data:image/png;base64," in page
    assert "<script src" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
