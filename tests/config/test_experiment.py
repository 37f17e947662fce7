"""A configuration written as an experiment is the same configuration, whatever made it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.config import compose
from pipeline.config.experiment import experiment_text, safe_name, write_experiment
from pipeline.errors import ConfigError

CASES = {
    "regularization": [
        "sweep=regularization",
        "data.fraction=0.05",
        "model.dropout=0.25",
        "penalty.l1=1e-08",
        "augment=affine",
        "augment.degrees=12.5",
        "trainer.early_stopping_patience=null",
        "loss.label_smoothing=0.07",
    ],
    "groups": [
        "model=cnn",
        "optimizer=momentum",
        "optimizer.momentum=0.8",
        "schedule=cosine",
        "precision=bf16",
    ],
    "from_an_experiment": ["experiment=best_cnn", "optimizer.learning_rate=0.002"],
    "nothing": ["seed=3"],
    "lists": ["optimizer.betas=[0.8,0.99]"],
}


@pytest.mark.parametrize("overrides", [pytest.param(v, id=k) for k, v in CASES.items()])
def test_the_file_composes_to_the_same_training(overrides: list[str], project: Path) -> None:
    _, wanted = compose(overrides, root=project)
    path = write_experiment(overrides, name="x_best", comment="Made by a test.", root=project)
    _, found = compose(["experiment=x_best"], root=project)
    assert found["name"] == "x_best"
    for key in ("objective", "name", "seed"):
        wanted.pop(key), found.pop(key)
    assert found == wanted
    assert path == project / "conf" / "experiment" / "x_best.yaml"


def test_only_what_was_set_is_in_the_file(project: Path) -> None:
    text = experiment_text(CASES["groups"], name="x", comment="A test.", root=project)
    assert text.startswith("# @package _global_\n# A test.\ndefaults:\n  - override /model: cnn\n")
    assert "  - override /optimizer: momentum\n" in text
    body = yaml.safe_load(text)
    assert body == {
        "defaults": [
            {"override /model": "cnn"},
            {"override /optimizer": "momentum"},
            {"override /precision": "bf16"},
            {"override /schedule": "cosine"},
        ],
        "name": "x",
        "optimizer": {"momentum": 0.8},
    }


def test_a_persons_own_file_is_not_replaced(project: Path) -> None:
    path = project / "conf" / "experiment" / "mine_best.yaml"
    path.write_text("# @package _global_\nname: mine_best\n")
    with pytest.raises(ConfigError, match="not written by this pipeline"):
        write_experiment(["seed=1"], name="mine_best", comment="A test.", root=project)
    assert path.read_text() == "# @package _global_\nname: mine_best\n"
    path.unlink()
    write_experiment(["model.width=8"], name="mine_best", comment="A test.", root=project)
    write_experiment(["model.width=9"], name="mine_best", comment="A test.", root=project)  # ours
    assert compose(["experiment=mine_best"], root=project)[1]["model"]["width"] == 9


@pytest.mark.parametrize(
    ("text", "name"), [("a b/../c", "a_b_c"), ("../x", "x"), ("ok-1", "ok-1"), ("…", "study")]
)
def test_a_name_stays_in_its_folder(text: str, name: str) -> None:
    assert safe_name(text) == name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("seed: 3\n", "lacks it"),
        ("# mine\n# @package _global_\nseed: 3\n", "has it below another line"),
        ("defaults:\n  - override /model: cnn\n", "lacks it"),
    ],
)
def test_a_file_that_would_set_nothing_is_refused(text: str, found: str, project: Path) -> None:
    (project / "conf" / "experiment" / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"^conf/experiment/mine\.yaml: .*, and {found}\."):
        compose(["experiment=mine"], root=project)


def test_a_package_line_below_empty_lines_is_the_first(project: Path) -> None:
    path = project / "conf" / "experiment" / "mine.yaml"
    path.write_text("\n# @package _global_\n# mine\nseed: 3\n")
    assert compose(["experiment=mine"], root=project)[1]["seed"] == 3
