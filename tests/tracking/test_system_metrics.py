"""The machine's numbers in a run's record, by MLflow's own names."""

from __future__ import annotations

import builtins
import time
from typing import Any

import psutil
import pytest

from pipeline.errors import TrackingError
from pipeline.tracking import Tracker, system_metrics


def test_samples_are_rows_of_the_run(tracker: Tracker) -> None:
    run = tracker.start("one", tags={})
    with system_metrics(run, every_s=0.2):
        time.sleep(0.7)
    run.finish(resumable=True)
    points = tracker.client.get_metric_history(run.run_id, "system/system_memory_usage_percentage")
    assert [p.step for p in points] == list(range(len(points)))
    assert 3 <= len(points) <= 5
    memory = psutil.virtual_memory()
    assert points[-1].value == pytest.approx(100 * memory.used / memory.total, abs=5)
    data = tracker.client.get_run(run.run_id).data.metrics
    assert 0 <= data["system/cpu_utilization_percentage"] <= 100
    assert "system/disk_usage_percentage" in data


def test_a_short_run_has_a_sample_too(tracker: Tracker) -> None:
    run = tracker.start("one", tags={})
    with pytest.raises(ValueError, match="the training's own"), system_metrics(run):
        raise ValueError("the training's own")
    run.finish(resumable=True)
    metrics = tracker.client.get_run(run.run_id).data.metrics
    assert "system/cpu_utilization_percentage" in metrics


def test_a_missing_package_is_told_with_its_command(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("mlflow.system_metrics"):
            raise ImportError("No module named 'psutil'", name="psutil")
        return real(name, *arguments)

    run = tracker.start("one", tags={})
    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(TrackingError, match=r"psutil is not installed.*pip install psutil"),
        system_metrics(run),
    ):
        pass
    monkeypatch.undo()
    run.finish()
