"""dvc.yaml against conf/: DVC tracks as a parameter each option that a training uses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.evaluation.tables import write_history_csv
from written_runs import history_rows

ROOT = Path(__file__).parents[2]
# What a run shows or records, or a preset that stands above the groups: no stage depends on them.
WITHOUT_EFFECT_ON_WEIGHTS = {"tracking", "evaluation", "experiment", "sweep", "debug"}
# As accurate in less time than the defaults, which are the textbook's.
SHORTER_RECIPE = {"schedule": "onecycle", "learning_rate": 0.003, "max_epochs": 7}


@pytest.fixture(scope="module")
def pipeline() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


@pytest.fixture(scope="module")
def groups() -> set[str]:
    defaults = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())["defaults"]
    # A group without a default chooses nothing, so there is no file to track.
    groups = {key for d in defaults if isinstance(d, dict) for key, value in d.items() if value}
    return {g for g in groups if not g.startswith("override ")} - WITHOUT_EFFECT_ON_WEIGHTS


def tracked_files(stage: dict[str, Any]) -> set[str]:
    return {next(iter(entry)) for entry in stage["params"]}


def test_training_names_every_group_that_decides_the_weights(
    pipeline: dict[str, Any], groups: set[str]
) -> None:
    command = pipeline["stages"]["train"]["cmd"]
    named = {argument.split("=")[0] for argument in command.split()[2:]}
    assert groups <= named


def test_training_tracks_the_file_of_every_group(
    pipeline: dict[str, Any], groups: set[str]
) -> None:
    tracked = {Path(path).parts[1] for path in tracked_files(pipeline["stages"]["train"])}
    assert groups <= tracked


def test_the_defaults_of_dvc_are_those_of_conf(pipeline: dict[str, Any]) -> None:
    defaults = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())["defaults"]
    chosen = {key: value for d in defaults if isinstance(d, dict) for key, value in d.items()}
    values = {key: value for entry in pipeline["vars"] for key, value in entry.items()}
    assert values == {group: chosen[group] for group in values if group not in SHORTER_RECIPE} | (
        SHORTER_RECIPE
    )


def test_every_named_file_exists(pipeline: dict[str, Any]) -> None:
    values = {key: value for entry in pipeline["vars"] for key, value in entry.items()}
    for stage in pipeline["stages"].values():
        for model in stage.get("matrix", {}).get("model", [""]):
            names = {**values, "item.model": model}
            paths = (
                [*tracked_files(stage), *stage.get("deps", [])]
                if "params" in stage
                else stage["deps"]
            )
            filled = [re.sub(r"\$\{([^}]+)\}", lambda m, n=names: n[m[1]], path) for path in paths]
            for path in filled:
                if path.startswith(("conf/", "src/")):
                    assert (ROOT / path).exists(), path


def test_dvc_itself_reads_the_pipeline() -> None:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    listed = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed == [
        "download",
        "preprocess",
        "train@mlp",
        "train@cnn",
        "evaluate@mlp",
        "evaluate@cnn",
        "diagnose@mlp",
        "diagnose@cnn",
        "report",
    ]


def test_dvc_draws_the_curves_of_all_models_together(tmp_path: Path) -> None:
    curves = {"mlp": (1.0, 0.5, 0.25), "cnn": (0.8, 0.4, 0.1)}
    for name, losses in curves.items():
        path = tmp_path / "results" / name / "history.csv"
        write_history_csv(path, history_rows(*losses))
    shutil.copy(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    for words in (["init", "--no-scm", "-q"], ["plots", "show", "--json"]):
        command = [sys.executable, "-m", "dvc", *words]
        told = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    plots = json.loads(told.stdout)["data"]
    assert {"validation loss", "validation accuracy", "training loss"} <= set(plots)
    (plot,) = plots["validation loss"]
    drawn = [(row["filename"], float(row["val/loss"])) for row in plot["content"]["data"]["values"]]
    wanted = [(f"{name}/history.csv", loss) for name, losses in curves.items() for loss in losses]
    assert sorted(drawn) == sorted(wanted)


def test_the_named_models_are_outputs_of_their_trainings(pipeline: dict[str, Any]) -> None:
    models = pipeline["stages"]["train"]["matrix"]["model"]
    assert "models/${item.model}" in pipeline["stages"]["train"]["outs"]
    assert {name: each["path"] for name, each in pipeline["artifacts"].items()} == {
        name: f"models/{name}" for name in models
    }
    drawn = {path for plot in pipeline["plots"] for one in plot.values() for path in one["y"]}
    assert drawn == {f"results/{name}/history.csv" for name in models}
