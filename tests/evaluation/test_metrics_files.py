"""``metrics.json`` and ``details.json``: each number in one of them, and read back as one set."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.evaluation.metrics_files import (
    HEADLINE,
    headline,
    metrics_of,
    read_metrics,
    write_metrics,
)
from pipeline.evaluation.results import Metrics
from pipeline.files import write_record

DIGEST = "a" * 64
NUMBERS = {
    "test/accuracy": 0.97,
    "test/accuracy_low": 0.96,
    "test/accuracy_high": 0.98,
    "test/cross_entropy": 0.1 + 0.2,
    "test/num_examples": 500.0,
    "test/f1/7": 0.3,
    "corruption/noise/3/accuracy": 1 / 3,
    "test/worst_corruption_accuracy": 1 / 3,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The results of a model ``mlp``."""
    write_metrics(tmp_path / "mlp", NUMBERS, weights_sha256=DIGEST)
    return tmp_path / "mlp"


def test_every_number_stands_in_one_file_and_comes_back_to_the_last_digit(folder: Path) -> None:
    short = json.loads((folder / "metrics.json").read_text())
    assert short == {
        "acc": 0.97,
        "acc_high": 0.98,
        "acc_low": 0.96,
        "loss": 0.1 + 0.2,
        "n": 500.0,
        "worst": 1 / 3,
    }
    details = json.loads((folder / "details.json").read_text())
    assert details["numbers"] == {"corruption/noise/3/accuracy": 1 / 3, "test/f1/7": 0.3}
    assert read_metrics(folder) == NUMBERS


def test_the_headline_has_full_names_and_only_what_was_measured() -> None:
    assert set(headline(NUMBERS)) == set(NUMBERS) - {"test/f1/7", "corruption/noise/3/accuracy"}
    assert list(HEADLINE) == sorted(HEADLINE), "DVC sorts the columns"


def test_a_number_that_could_not_be_measured_comes_back_as_nan(tmp_path: Path) -> None:
    lost = dict.fromkeys(("test/f1_macro", "test/f1/0"), math.nan)
    write_metrics(tmp_path, {"test/accuracy": 0.5, **lost}, weights_sha256="")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"acc": 0.5, "f1": None}
    found = read_metrics(tmp_path)
    assert math.isnan(found["test/f1_macro"]) and math.isnan(found["test/f1/0"])


@pytest.mark.parametrize("text", ["", "[]", '{"acc": "high"}', "{"], ids=repr)
def test_damaged_metrics_are_refused_with_a_way_out(text: str, folder: Path) -> None:
    (folder / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"not a valid Metrics.*pipeline evaluate name=mlp"):
        read_metrics(folder)


def test_files_of_two_evaluations_are_refused(folder: Path) -> None:
    """As after a checkout of another commit: Git has one of them, and DVC the other."""
    (folder / "metrics.json").write_text('{\n  "acc": 0.5\n}\n')
    with pytest.raises(DataError, match=r"of another evaluation than details.json.*name=mlp"):
        read_metrics(folder)


def test_an_evaluation_that_was_killed_between_its_files_is_refused(folder: Path) -> None:
    (folder / "details.json").unlink()
    with pytest.raises(DataError, match=r"details.json: missing.*pipeline evaluate name=mlp"):
        read_metrics(folder)


def test_the_one_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / "metrics.json", Metrics(NUMBERS))
    assert read_metrics(tmp_path) == NUMBERS


def test_only_the_numbers_of_this_very_model_count(folder: Path) -> None:
    assert metrics_of(DIGEST, folder) == NUMBERS
    assert metrics_of("b" * 64, folder) == {}
    (folder / "metrics.json").write_text("{}")
    assert metrics_of(DIGEST, folder) == {}, "a damaged evaluation is none"
