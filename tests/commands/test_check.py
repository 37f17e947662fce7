"""``pipeline check``: every link of the chain holds, or the first broken one is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import small_mnist
from pipeline import cli
from pipeline.commands.check import _links
from pipeline.data.store import write_prepared
from pipeline.errors import DataError
from pipeline.evaluation.metrics_files import write_metrics
from pipeline.evaluation.model_description import read_description
from pipeline.evaluation.tables import write_confusion_csv
from pipeline.reporting.page_origin import check_page, signed, sources_of
from pipeline.runs.files import RunFiles
from pipeline.tracking import MODEL_TAG, open_tracker
from sealed_records import fields_of, write_fields


def check(*words: str) -> None:
    cli.call("check", words)


def break_prepared(root: Path) -> None:
    path = root / "data/processed/mnist/val.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def other_prepared(root: Path) -> None:
    write_prepared(small_mnist.load_prepared(num_train=300), root / "data/processed/mnist")


def swap_splits(root: Path) -> None:
    folder = root / "data/processed/mnist"
    shutil.copyfile(folder / "test.safetensors", folder / "val.safetensors")


def other_mean(root: Path) -> None:
    path = root / "data/processed/mnist/card.json"
    write_fields(path, {**fields_of(path), "mean": [0.5]})


def break_weights(root: Path) -> None:
    path = root / "models/mlp/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def other_history(root: Path) -> None:
    path = root / "results/mlp/history.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1].replace("3,", "4,", 1))


def break_diagnosis(root: Path) -> None:
    (root / "results/mlp/diagnosis.json").write_text("{}")


def write_half_right(root: Path, weights_sha256: str | None = None) -> None:
    """The numbers of an evaluation that got half of the images right."""
    digest = weights_sha256 or read_description(root / "models/mlp").weights_sha256
    write_metrics(root / "results/mlp", {"test/accuracy": 0.5}, weights_sha256=digest)


def evaluation_of_other_weights(root: Path) -> None:
    write_half_right(root, "0" * 64)


def other_evaluation(root: Path) -> None:
    names = tuple("0123456789")
    write_half_right(root)
    write_confusion_csv(
        root / "results/mlp/confusion.csv", np.eye(10, dtype=np.int64), class_names=names
    )


def old_report(root: Path) -> None:
    sources = sources_of(["mlp"], root=root)["mlp"]
    page = signed(f"<dt>mlp</dt><dd>{sources}</dd>\n")
    (root / "results/report.html").write_text(page)
    write_half_right(root)


# id: (what breaks the chain, the link that is named, words of the message)
BROKEN = {
    "damaged_split": (break_prepared, "prepared", "does not have the content"),
    "splits_swapped": (swap_splits, "prepared", "does not have the content"),
    "card_of_other_images": (other_mean, "prepared", "describes other images"),
    "another_preparation": (other_prepared, "model", "another preparation of mnist"),
    "damaged_weights": (break_weights, "model", "SHA-256"),
    "another_history": (other_history, "results", "is not the file that was written"),
    "damaged_diagnosis": (break_diagnosis, "results", "pipeline diagnose name=mlp"),
    "two_evaluations": (other_evaluation, "results", "has test/accuracy = 1, metrics.json 0.5"),
    "evaluation_of_another_model": (
        evaluation_of_other_weights,
        "results",
        "details.json: of another model than models/mlp",
    ),
    "report_of_earlier_results": (old_report, "report", "shows an earlier state of results/mlp"),
}


def test_a_whole_chain_holds(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["prepared", "model", "results", "MLflow", "all"]
    assert "the raw files are not here" in lines[0]
    assert "tracking=none" in lines[3]


@pytest.mark.parametrize("case", BROKEN)
def test_the_first_broken_link_is_named(case: str, tiny_model: Path) -> None:
    break_it, link, words = BROKEN[case]
    break_it(tiny_model)
    with pytest.raises(DataError, match=f"^the link {link} is broken: ") as told:
        check("name=mlp")
    assert words in str(told.value)


def test_an_empty_project_says_where_to_begin(project: Path) -> None:
    shutil.rmtree(project / "data")
    with pytest.raises(DataError, match="pipeline download"):
        check()


def test_the_record_in_mlflow_has_the_numbers_and_files_of_the_results(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_model / "models/mlp/model.json"
    fields = fields_of(path)
    tracking = {"enabled": True, "uri": "sqlite:///mlflow.db", "experiment": "x", "model": False}
    tracking["tensorboard"] = False
    fields["settings"]["tracking"] = {**fields["settings"]["tracking"], **tracking}
    write_fields(path, fields)
    files = RunFiles(tiny_model, "mlp")
    paths = files.write_measured(fields["settings"], files.read_history(), files.read_signals())
    with pytest.raises(DataError, match=r"the link MLflow is broken: .*no such store"):
        check()

    made = read_description(tiny_model / "models/mlp")
    tracker = open_tracker(fields["settings"]["tracking"], root=tiny_model)
    assert tracker is not None
    with tracker.recording("mlp", tags={MODEL_TAG: made.weights_sha256}, params={}) as run:
        for row in files.read_history()[:-1]:
            run.log_epoch(row)
        run.log_files(paths)
    with pytest.raises(DataError, match=r"the link MLflow is broken: .*at step 4 is missing"):
        check()
    with tracker.of_model(model_sha256=made.weights_sha256, name="mlp") as run:
        run.log_epoch(files.read_history()[-1])
    capsys.readouterr()
    check()
    assert ": FINISHED, " in capsys.readouterr().out
    kept = next((tiny_model / "mlruns").rglob("history.csv"))
    kept.write_text(kept.read_text().replace(",", ";", 1))
    with pytest.raises(DataError, match=r"artifact history\.csv is not results/mlp/history\.csv"):
        check()


def test_a_setting_that_names_a_folder_of_results_is_no_model_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(signed("<dt>callbacks.mine.folder</dt><dd>results/kept</dd>\n"))
    assert check_page(path, root=tmp_path) == []


def test_own_images_beside_the_official_files_break_no_link(project: Path) -> None:
    (project / "data" / "raw" / "flowers" / "rose").mkdir(parents=True)
    assert not [place for place, _ in _links(None, project) if place == "raw"]
