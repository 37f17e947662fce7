"""The check of benchmarks/killed_trainings.py: each loss is found, and a whole end passes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from faults import TOTAL
from killed_trainings import End, wrong

ROWS = (("val/loss", 1, 0.5, 0), ("val/loss", 2, 0.25, 0))
WHOLE = End(("w", "h", "s"), ROWS, (("FINISHED",),), 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"files": ("other", "h", "s")}, ["weights differ"]),
        ({"files": ("w", "other", "other")}, ["history differ", "signals differ"]),
        ({"rows": ROWS[:1]}, ["MLflow: 1 rows lost or changed"]),
        ({"rows": (*ROWS, ROWS[0])}, ["MLflow: 1 rows doubled"]),
        ({"rows": (*ROWS, ("val/loss", 1, 0.6, 0))}, ["MLflow: 1 rows doubled"]),
        ({"status": (("RUNNING",),)}, ["MLflow: runs (('RUNNING',),)"]),
        ({"status": ()}, ["MLflow: runs ()"]),
    ],
)
def test_what_is_lost_is_said(change: dict[str, Any], said: list[str]) -> None:
    assert wrong(WHOLE, replace(WHOLE, **change)) == said


def test_the_last_line_of_a_benchmark_is_read() -> None:
    found = TOTAL.match("trainings: tried 20, survived 19, lost 1")
    assert found is not None
    assert found.groups() == ("trainings", "20", "19", "1")
