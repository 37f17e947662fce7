"""Typical mistakes: each is one message with the value, the rule and the way out."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from pipeline import cli

# id: (command line, exit code, value, rule, way out)
MISTAKES: dict[str, tuple[str, int, str, str, str]] = {
    "command": ("trian", 2, "trian", "unknown command", "Did you mean train?"),
    "group": ("train modle=cnn", 2, "modle", "unknown key", "Did you mean model=?"),
    "no_seed": (
        "train seeds=0", 2, "seeds=0", "number from 2 to 1000, or [", "tutorial_cnn seeds=5",
    ),
    "seeds_in_words": (
        "train seeds=five", 2, "seeds=five", "must be a whole number", "tutorial_cnn seeds=5",
    ),
    "empty_list_of_seeds": (
        "train seeds=[]", 2, "seeds=[]", "has no value", "tutorial_cnn seeds=5",
    ),
    "negative_seed": (
        "train seeds=[-1,2]", 2, "seeds=[-1,2]", "from 0 to 4294967295", "tutorial_cnn seeds=5",
    ),
    "seed_twice": ("train seeds=[1,1]", 2, "seeds=[1,1]", "names 1 twice", "Leave one out"),
    "only_one_seed": ("train seeds=[7]", 2, "seeds=[7]", "has no spread", "alone: seed=7"),
    "seeds_in_a_sweep": (
        "train -m seeds=3 model=mlp,cnn", 2, "seeds=3", "trains one setting", "seed=0,1,2",
    ),
    "seeds_and_a_list": (
        "train seeds=3 model=mlp,cnn", 2, "model=mlp,cnn", "has several values", "-m, and seed=",
    ),
    "seeds_and_seeds": (
        "train seeds=3 seed=0,1", 2, "seed=0,1", "has several values", "Give one value",
    ),
    "seeds_and_a_seed": (
        "train seeds=[3,7] seed=1", 2, "seed=1", "seeds=[3,7] names the seeds", "Leave seed out",
    ),
    "seeds_and_trials": (
        "train seeds=3 n_trials=9", 2, "n_trials=9", "trains one setting", "Leave one of the two",
    ),
    "seeds_and_a_flag": (
        "train seeds=3 --cfg job", 2, "seeds=3", "only shows settings", "Leave one of the two",
    ),
    "option_of_a_group": (
        "train model=cnnn", 2, "model=cnnn", "unknown option", "Did you mean model=cnn?",
    ),
    "key": ("train model.widht=3", 2, "model.widht", "unknown key", "Did you mean model.width?"),
    "key_of_another_option": (
        "train optimizer=sgd optimizer.momentum=0.9", 2,
        "optimizer.momentum", "unknown key here", "optimizer=momentum",
    ),
    "value_of_another_type": (
        "train model.width=many", 2, "model.width=many", "valid integer", "has model.width=512",
    ),
    "value_out_of_range": (
        "train model.dropout=2", 2, "model.dropout=2", "less than 1", "conf/ has model.dropout=0.2",
    ),
    "lr": ("train lr=0.1", 2, "lr", "unknown key", "mean optimizer.learning_rate?"),
    "epochs": ("train epochs=3", 2, "epochs", "unknown key", "mean trainer.max_epochs?"),
    "batch_size": ("train batch_size=8", 2, "batch_size", "unknown key", "mean data.batch_size?"),
    "wd": ("train wd=0.1", 2, "wd", "unknown key", "mean optimizer.weight_decay?"),
    "dropout": ("train dropout=0.5", 2, "dropout", "unknown key", "mean model.dropout?"),
    "workers": ("train workers=4", 2, "workers", "unknown key", "mean trainer.num_threads?"),
    "new_key_in_other_words": ("train +lr=1", 2, "lr", "unknown key", "optimizer.learning_rate?"),
    "spaces": ("train model = cnn", 2, "model = cnn", "spaces around '='", "Write model=cnn"),
    "space_after": ("evaluate name= mlp", 2, "name= mlp", "spaces around '='", "Write name=mlp"),
    "no_value": ("train model", 2, "model", "is no setting", "Write model=<value>"),
    "forgotten_m": ("train model=mlp,cnn", 2, "model=mlp,cnn", "several values", "Add -m"),
    "trials_without_m": ("train n_trials=50", 2, "n_trials=50", "belongs to a sweep", "Add -m"),
    "flag_of_another_tool": (
        "train --epochs 3", 2, "--epochs", "unknown flag", "see pipeline train --help",
    ),
    "sweep_of_an_evaluation": ("evaluate -m", 2, "evaluate -m", "only train", "Leave -m out"),
    "search_space": (
        "train -m hydra.sweeper.search_space.x=1", 2,
        "hydra.sweeper.search_space.x", "unknown key", "mean hydra.sweeper.params?",
    ),
    "gpu": (
        "train trainer=gpu", 2, "trainer.accelerator=gpu", "no such device", "Use trainer=auto",
    ),
    "not_prepared": (
        "train data=kmnist", 1, "kmnist", "missing", "pipeline preprocess data=kmnist",
    ),
    "not_trained": ("evaluate", 1, "name", "nothing is trained yet", "pipeline train"),
    "not_trained_by_this_name": (
        "diagnose name=cnn", 1, "name=cnn", "nothing of this name", "pipeline train name=cnn",
    ),
    "option": ("verify sedes=5", 2, "sedes=5", "unknown option of verify", "Did you mean seeds=?"),
    "option_out_of_range": ("verify seeds=1", 2, "seeds=1", "from 3 to 1000", "Leave it out for 5"),
    "option_that_is_no_truth": (
        "diagnose probe=yes", 2, "probe=yes", "true or false", "Leave it out for false",
    ),
    "setting_where_none_is_taken": (
        "verify model=cnn", 2, "model=cnn", "so that only the remedy differs",
        "pipeline train name=<name> … model=cnn",
    ),
    "two_sources": ("reproduce name=a run=1", 2, "run=1", "only one of name=", "Leave the others"),
    "home_of_nobody": (
        "preprocess data=image_folder data.path='~nobody-here/x'", 1,
        "/~nobody-here/x", "is not a folder", "Name a folder",
    ),
    "no_picture": ("predict", 2, "paths", "missing", "pipeline predict digit.png"),
    "no_study": ("compare", 2, "study", "missing", "one of study=, names=, folder="),
    "port_of_the_system": ("ui port=80", 2, "port=80", "1024 to 65535", "Leave it out for 5000"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "parts"), [pytest.param(m[0], m[1], m[2:], id=i) for i, m in MISTAKES.items()]
)
def test_a_mistake_is_one_message(
    line: str,
    code: int,
    parts: tuple[str, ...],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split(" ")])
    assert cli.main() == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and len(printed.err.splitlines()) == 1
    assert [part for part in parts if part not in printed.err] == [], printed.err


def test_a_busy_port_names_another(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlflow.db").touch()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["pipeline", "ui", f"port={port}"])
        assert cli.main() == 2
    assert f"error: port={port}: another program uses it" in capsys.readouterr().err


@pytest.fixture
def two_models(project: Path) -> Path:
    """A project with two folders of models and of results."""
    for name in ("mlp", "cnn"):
        (project / "models" / name).mkdir(parents=True)
        (project / "results" / name).mkdir(parents=True)
        (project / "results" / name / "history.csv").touch()
    return project


@pytest.mark.parametrize(
    "line", ["evaluate", "diagnose", "verify", "heal", "reproduce", "predict a.png"]
)
def test_with_several_models_a_command_asks_for_one(
    line: str, two_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split(" ")])
    assert cli.main() == 2
    assert capsys.readouterr().err == (
        "error: name: missing. Several are trained, name one: cnn, mlp\n"
    )


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "verify", "reproduce"])
def test_a_mistyped_name_suggests_the_nearest(
    command: str,
    two_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", command, "name=cnnn"])
    assert cli.main() == 1
    assert "name=cnnn: nothing of this name is trained. Did you mean name=cnn? Known: cnn, mlp" in (
        capsys.readouterr().err
    )
