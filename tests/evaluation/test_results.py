"""``metrics.json``: numbers by name, written and read by one definition."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.evaluation.results import Metrics
from pipeline.files import read_record, write_record

WAY_OUT = "Make it again: pipeline evaluate name=mlp"


def test_metrics_are_a_flat_json_object(tmp_path: Path) -> None:
    write_record(tmp_path / "metrics.json", Metrics({"test/accuracy": 0.25, "test/brier": 1.0}))
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert len(kept.pop("file_sha256")) == 64
    assert kept == {"test/accuracy": 0.25, "test/brier": 1.0}


def test_a_metric_that_is_not_a_number_comes_back_as_nan(tmp_path: Path) -> None:
    write_record(tmp_path / "metrics.json", Metrics({"test/f1": math.nan}))
    numbers = read_record(tmp_path / "metrics.json", Metrics, way_out=WAY_OUT).root
    assert math.isnan(numbers["test/f1"])


@pytest.mark.parametrize("text", ["", "[]", '{"test/f1": "high"}', "{"], ids=repr)
def test_damaged_metrics_are_refused_with_a_way_out(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"not a valid Metrics.*pipeline evaluate name=mlp"):
        read_record(tmp_path / "metrics.json", Metrics, way_out=WAY_OUT)
