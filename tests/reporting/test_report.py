"""``pipeline report`` on a real small run: its parts, its place in MLflow, its commands."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.commands.diagnose_sources import diagnose_model
from pipeline.commands.evaluate import evaluate
from pipeline.config import compose
from pipeline.errors import DataError, TrainingError
from pipeline.evaluation.metrics_files import write_metrics
from pipeline.reporting.read_model import read_model
from pipeline.reporting.report import page_name, report
from trained_models import ON_ONE_THREAD, train_model

RUN = (
    *ON_ONE_THREAD,
    "name=small",
    "model.width=32",
    "model.dropout=0.0",
    "trainer.max_epochs=3",
    "trainer.sample_size=200",
    "signals.sample_size=100",
    "data.fraction=0.5",
)
QUICK = (
    "evaluation.num_resamples=100",
    "evaluation.corruptions=[noise]",
    "evaluation.severities=[3]",
)
HEADINGS = (
    "Why",
    "How it trained",
    "Learning curves",
    "Gradient flow",
    "Dead units",
    "Confusion",
    "Calibration",
    "Worst mistakes",
    "Generalisation",
    "Make it again",
)

REPORT = """
import sys
from pathlib import Path
from pipeline.reporting.report import report
report([], root=Path.cwd())
print("matplotlib" in sys.modules)
"""


@pytest.fixture
def trained(project: Path) -> Path:
    """A project with a tracked run of the model ``small``."""
    train_model(project, *RUN)
    return project


@pytest.fixture
def evaluated(trained: Path) -> Path:
    """The same with an evaluation and a diagnosis."""
    evaluate(compose(["name=small", *QUICK], root=trained).settings, root=trained)
    diagnose_model("small", root=trained)
    return trained


def test_other_models_have_another_page() -> None:
    asked = (["mlp", "cnn"], ["a", "b"], ["a_b"], ["a_b", "c"], ["a", "b_c"], ["a", "b", "c"])
    pages = [page_name(names) for names in asked]
    assert len(set(pages)) == len(asked)
    assert pages[0] == "report_mlp_cnn.html"  # dvc.yaml names it


def test_the_page_has_every_part(evaluated: Path) -> None:
    page = report([], root=evaluated).read_text()
    assert [heading for heading in HEADINGS if heading not in page] == []


def test_the_page_of_a_model_is_an_artifact_of_its_run(evaluated: Path) -> None:
    report([], root=evaluated)
    client = MlflowClient(f"sqlite:///{evaluated / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    artifact = client.download_artifacts(run.info.run_id, "report.html", str(evaluated))
    assert "Calibration of small" in Path(artifact).read_text()


def test_a_second_report_is_the_same_without_matplotlib(evaluated: Path) -> None:
    """In two processes, which read files and mappings in other orders."""
    (evaluated / "results" / "twin").symlink_to("small")
    (evaluated / "models" / "twin").symlink_to("small")  # so that two models are compared
    line = [sys.executable, "-c", REPORT]
    pages, drew = [], []
    for _ in range(2):
        done = subprocess.run(line, cwd=evaluated, capture_output=True, text=True, check=True)
        pages.append((evaluated / "results" / "report.html").read_text())
        drew.append(done.stdout.splitlines()[-1])
    assert drew == ["True", "False"]
    assert pages[0] == pages[1]
    assert "Accuracy side by side" in pages[0]


def test_numbers_without_weights_are_left_out(
    evaluated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh clone has the numbers of every model, and no weights."""
    only_numbers = evaluated / "results" / "only_numbers"
    only_numbers.mkdir()
    (only_numbers / "metrics.json").write_text("{}")
    report([], root=evaluated)
    printed = capsys.readouterr().out
    assert "left out, since they were not trained here: only_numbers" in printed


def test_the_command_on_the_page_composes_the_settings_of_the_model(trained: Path) -> None:
    command = read_model("small", root=trained).commands[0]
    program, name, *overrides = shlex.split(command)
    assert (program, name) == ("pipeline", "train")
    description = json.loads((trained / "models/small/model.json").read_text())
    assert compose(overrides, root=trained).values == description["settings"]


def test_the_remedies_of_a_run_that_diverged_are_not_those_of_the_model_before_it(
    evaluated: Path,
) -> None:
    with pytest.raises(TrainingError):
        train_model(evaluated, *RUN, "optimizer=sgd", "optimizer.learning_rate=1e8")
    diagnose_model("small", root=evaluated)
    name, command = next(iter(read_model("small", root=evaluated).remedy_commands.items()))
    assert name == "usual_learning_rate"
    assert "optimizer=sgd" in command
    composed = compose(shlex.split(command)[2:], root=evaluated).settings
    assert composed.name == "small_usual_learning_rate"


def test_the_most_frequent_mistakes_come_first(evaluated: Path) -> None:
    folder = evaluated / "results" / "small"
    (folder / "confusion.csv").write_text("truth,a,b\na,5,3\nb,4,9\n")
    (folder / "confusion.png").unlink()
    assert read_model("small", root=evaluated).confusions == [("b", "a", 4), ("a", "b", 3)]


def test_a_model_without_an_evaluation_is_refused_by_name(trained: Path) -> None:
    with pytest.raises(DataError, match="pipeline evaluate name=small"):
        report(["small"], root=trained)


def test_a_damaged_record_is_left_out_by_name(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_model / "results/mlp"
    write_metrics(folder, {"test/accuracy": 0.5}, weights_sha256="")
    (folder / "diagnosis.json").write_text("{")
    report((), root=tiny_model)
    told = capsys.readouterr()
    assert "left out" in told.err and "Make it again: pipeline diagnose name=mlp" in told.err
    assert read_model("mlp", root=tiny_model).diagnosis is None
    assert "report on mlp" in told.out


def test_a_damaged_model_does_not_stop_the_report_on_the_others(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("models", "results"):
        shutil.copytree(tiny_model / place / "mlp", tiny_model / place / "twin")
    for name in ("mlp", "twin"):
        write_metrics(tiny_model / "results" / name, {"test/accuracy": 0.5}, weights_sha256="")
    (tiny_model / "results/twin/signals.safetensors").write_bytes(b"")
    report((), root=tiny_model)
    told = capsys.readouterr()
    assert "results/twin/signals.safetensors: is not the file" in told.err
    assert told.out.startswith("report on mlp:")
    with pytest.raises(DataError, match="twin"):
        report(["twin"], root=tiny_model)
