"""A model is replaced only by its own settings, or where a person says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.config import compose
from pipeline.errors import ConfigError
from pipeline.runs import names
from sealed_records import fields_of, write_fields
from trained_models import TINY

SAME = (*TINY, "tracking=none")


def check(root: Path, *overrides: str) -> None:
    names.check_free(compose(overrides, root=root), root=root)


# What is shown or recorded, not what is trained.
EQUAL: list[list[str]] = [[], ["objective=val/accuracy"], ["evaluation.num_mistakes=3"]]


@pytest.mark.parametrize("more", EQUAL)
def test_the_same_run_may_be_repeated(more: list[str], tiny_model: Path) -> None:
    check(tiny_model, *SAME, *more)


OTHER = {
    "a value": (["seed=1"], "seed=1, was 0"),
    "a group": (["optimizer=sgd"], "optimizer.name=sgd, was adam"),
    "another model": (["model=cnn", "name=mlp", "model.depth=1"], "model.name=cnn, was mlp"),
    "null": (["trainer.gradient_clip_norm=1.0"], "trainer.gradient_clip_norm=1.0, was null"),
}


@pytest.mark.parametrize(("more", "shown"), OTHER.values(), ids=OTHER)
def test_another_run_under_the_name_of_a_model_is_refused(
    more: Sequence[str], shown: str, tiny_model: Path
) -> None:
    (tiny_model / "models" / "mlp_2").mkdir()
    (tiny_model / "results" / "mlp_3").mkdir()
    with pytest.raises(ConfigError) as refused:
        check(tiny_model, *SAME, *more)
    message = str(refused.value)
    assert message.startswith("name=mlp: models/mlp was trained with other settings (")
    assert shown in message
    assert message.endswith("Keep both with name=mlp_4, or replace it with overwrite=true")


def test_a_name_without_a_model_is_free(project: Path) -> None:
    check(project, *SAME)
    (project / "results" / "mlp").mkdir(parents=True)  # a run that diverged left no model
    check(project, *SAME, "seed=1")


def test_a_damaged_model_does_not_keep_its_name(tiny_model: Path) -> None:
    (tiny_model / "models" / "mlp" / "model.json").write_text("{")
    check(tiny_model, *SAME, "seed=1")


def test_a_record_of_another_version_counts_as_other_settings(tiny_model: Path) -> None:
    path = tiny_model / "models" / "mlp" / "model.json"
    record = fields_of(path)
    del record["settings"]["seed"]
    write_fields(path, record)
    with pytest.raises(ConfigError, match="seed=0, was nothing"):
        check(tiny_model, *SAME)


def test_the_command_refuses_and_its_way_out_trains(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tiny_model / "models" / "mlp" / "model.json").read_bytes()
    other = [*SAME, "trainer.max_epochs=1"]
    monkeypatch.setattr(sys, "argv", ["pipeline", "train", *other])
    assert cli.main() == 2
    assert "trainer.max_epochs=1, was 4" in capsys.readouterr().err
    assert (tiny_model / "models" / "mlp" / "model.json").read_bytes() == before
    cli.call("train", [*other, "overwrite=true"])
    assert (tiny_model / "models" / "mlp" / "model.json").read_bytes() != before
    assert "overwrite" not in (tiny_model / "results" / "mlp" / "config.json").read_text()


def test_a_sweep_takes_no_overwrite(project: Path) -> None:
    with pytest.raises(ConfigError, match="a sweep replaces no model"):
        cli.call("train", ["-m", "seed=1,2", "overwrite=true"])


def test_the_stages_of_dvc_say_that_they_replace() -> None:
    text = (Path(__file__).parents[2] / "dvc.yaml").read_text()
    assert text.count("pipeline train ") == text.count("overwrite=true") == 1


HOLDER = """
import sys
from pathlib import Path
from pipeline.runs import names
with names.held("mlp", root=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_trainings_of_one_name_never_run_at_once(project: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(project)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdin is not None
    assert holder.stdout.readline() == "held\n"
    taken = pytest.raises(ConfigError, match=r"name=mlp: another process trains .* name=mlp_2")
    with taken, names.held("mlp", root=project):
        pass
    with names.held("cnn", root=project):
        pass
    holder.kill()  # also a killed process gives the name up
    holder.wait()
    with names.held("mlp", root=project):
        pass
    shutil.rmtree(project / "checkpoints")
