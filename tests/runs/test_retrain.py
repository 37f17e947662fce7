"""The seeds that trials are trained again with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.runs.retrain import fresh_seeds
from pipeline.sweep.analysis import FinishedTrial, StudyRecord

RECORD = StudyRecord(
    name="study",
    directions=("minimize",),
    objectives=("val/loss",),
    keys=(),
    log_keys=frozenset(),
    fixed=(),
    folder=Path("multirun"),
    parent_run=None,
    trials=(),
    front=(),
    frozen=(),
)


def trial(params: dict[str, Any], seeds: tuple[int, ...] = ()) -> FinishedTrial:
    over = SimpleNamespace(seeds=seeds) if seeds else None
    return cast("FinishedTrial", SimpleNamespace(params=params, over_seeds=over))


@pytest.mark.parametrize(
    ("fixed", "trials", "fresh"),
    [
        ((), (), [1000, 1001, 1002]),
        (("seed=1001",), (), [1000, 1002, 1003]),
        ((), ({"seed": 1000},), [1001, 1002, 1003]),
        (("model=cnn",), ({"lr": 1000},), [1000, 1001, 1002]),
    ],
    ids=["none", "fixed", "varied", "other"],
)
def test_no_trial_has_had_the_seeds(
    fixed: tuple[str, ...], trials: tuple[dict[str, Any], ...], fresh: list[int]
) -> None:
    record = replace(RECORD, fixed=fixed, trials=tuple(map(trial, trials)))
    assert fresh_seeds(record, 3) == fresh


def test_the_seeds_of_a_trial_with_several_count() -> None:
    record = replace(RECORD, trials=(trial({}, seeds=(1000, 1002)),))
    assert fresh_seeds(record, 2) == [1001, 1003]
