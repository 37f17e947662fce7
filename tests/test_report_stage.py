"""The stage ``report`` on a real small run: what it gathers, where it puts it, and that its commands hold."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pipeline.config import compose
from pipeline.errors import DataError, TrainingError
from pipeline.stages.diagnose import diagnose_model
from pipeline.stages.evaluate import evaluate_model
from pipeline.stages.report import report
from pipeline.stages.report_model import read_model
from pipeline.stages.train import train

RUN = [
    "name=small",
    "model.width=32",
    "model.dropout=0.0",
    "trainer.max_epochs=3",
    "trainer.probe_size=200",
    "trainer.accelerator=cpu",
    "signals.probe_size=100",
    "data.fraction=0.5",
]


@pytest.fixture
def trained(project: Path) -> Path:
    settings, values = compose(RUN, root=project)
    train(settings, values, root=project, output=project)
    return project


def evaluated(root: Path) -> Path:
    options = ["name=small", "evaluation.corruptions=[noise]", "evaluation.severities=[3]"]
    evaluate_model(compose([*options, "evaluation.num_resamples=100"], root=root)[0], root=root)
    diagnose_model("small", root=root)
    return root


def test_the_report_has_every_part_and_is_an_artifact_of_the_run(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    evaluated(trained)
    others = trained / "results" / "only_numbers"
    others.mkdir()
    (others / "metrics.json").write_text("{}")  # as in a fresh clone, where the weights are not
    path = report([], root=trained)
    assert "left out, since models/<name>/ is missing: only_numbers" in capsys.readouterr().out
    page = path.read_text()
    headings = ("Why", "How it trained", "Learning curves", "Gradient flow", "Dead units", "Confusion")
    for heading in (*headings, "Calibration", "Worst mistakes", "Generalisation", "Make it again"):
        assert heading in page
    client = mlflow.MlflowClient(f"sqlite:///{trained / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("mnist").experiment_id])
    artifact = client.download_artifacts(run.info.run_id, "report.html", str(trained))
    assert "Calibration of small" in Path(artifact).read_text()


def test_the_commands_of_the_page_give_the_same_configuration(trained: Path) -> None:
    model = read_model("small", root=trained)
    program, stage, *overrides = shlex.split(model.commands[0])
    assert (program, stage) == ("pipeline", "train")
    told = json.loads((trained / "models" / "small" / "model.json").read_text())
    assert compose(overrides, root=trained)[1] == told["settings"]
    evaluated(trained)
    way = next(iter(read_model("small", root=trained).diagnosis.ways), None)  # type: ignore[union-attr]
    if way is not None:
        assert compose(shlex.split(way.command)[2:], root=trained)[1]["name"] == f"small_{way.name}"


def test_the_remedies_of_a_run_that_diverged_are_not_those_of_the_model_before_it(trained: Path) -> None:
    evaluated(trained)
    steep = [*RUN, "optimizer=sgd", "optimizer.learning_rate=1e8"]
    settings, values = compose(steep, root=trained)
    with pytest.raises(TrainingError):
        train(settings, values, root=trained, output=trained)
    diagnose_model("small", root=trained)
    way = read_model("small", root=trained).diagnosis.ways[0]  # type: ignore[union-attr]
    assert way.name == "usual_learning_rate" and "optimizer=sgd" in way.command


def test_mistakes_are_told_the_most_frequent_first(trained: Path) -> None:
    folder = evaluated(trained) / "results" / "small"
    (folder / "confusion.csv").write_text("truth,a,b\na,5,3\nb,4,9\n")
    (folder / "confusion.png").unlink()
    assert read_model("small", root=trained).confusions == [("b", "a", 4), ("a", "b", 3)]


def test_a_run_that_was_not_evaluated_is_refused_by_name(trained: Path) -> None:
    with pytest.raises(DataError, match="pipeline evaluate name=small"):
        report(["small"], root=trained)
