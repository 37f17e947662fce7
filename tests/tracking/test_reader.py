"""Reading a run from a store, whoever wrote it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.errors import TrackingError
from pipeline.tracking import Run, Tracker, read_artifact, read_tags, read_tracked

STORE = "sqlite:///mlflow.db"


@pytest.fixture
def run(tracker: Tracker) -> Run:
    return tracker.start("one", tags={"a": "1"})


def id_of(run: Run) -> str:
    """Return MLflow's id of a run that has ended, and whose journal is still there."""
    assert run.run_id is not None
    return run.run_id


def test_a_run_is_read_with_its_name_tags_and_points(run: Run, project: Path) -> None:
    run.log_metrics({"loss": 0.5}, step=1)
    run.log_metrics({"loss": 0.25}, step=2)
    run.finish(resumable=True)
    name, points = read_tracked(id_of(run), uri=STORE, root=project)
    assert (name, points) == ("one", {"loss": [(1.0, 0.5), (2.0, 0.25)]})
    assert read_tags(id_of(run), uri=STORE, root=project)["a"] == "1"


def test_a_store_with_options_in_its_address_is_read(run: Run, project: Path) -> None:
    run.finish(resumable=True)
    assert read_tags(id_of(run), uri=f"{STORE}?timeout=60", root=project)["a"] == "1"


def test_of_two_values_for_a_step_the_later_counts(run: Run, project: Path) -> None:
    run.log_metrics({"loss": 0.5}, step=1)
    run.log_metrics({"loss": 0.4}, step=1)
    run.finish(resumable=True)
    assert read_tracked(id_of(run), uri=STORE, root=project)[1] == {"loss": [(1.0, 0.4)]}


def test_a_number_that_was_not_finite_comes_back_as_it_was(run: Run, project: Path) -> None:
    """MLflow's database holds the largest number in place of infinity."""
    for step, loss in enumerate((math.inf, -math.inf, math.nan)):
        run.log_metrics({"loss": loss}, step=step)
    run.finish(resumable=True)
    points = read_tracked(id_of(run), uri=STORE, root=project)[1]["loss"]
    assert [value for _, value in points[:2]] == [math.inf, -math.inf]
    assert math.isnan(points[2][1])


def test_an_artifact_is_copied_and_a_missing_one_is_none(
    run: Run, project: Path, tmp_path: Path
) -> None:
    run.log_text("a,b", "history.csv")
    run.finish(resumable=True)
    folder = tmp_path / "copies"
    folder.mkdir()
    copy = read_artifact(id_of(run), "history.csv", uri=STORE, root=project, folder=folder)
    assert copy is not None
    assert copy.read_text() == "a,b"
    assert read_artifact(id_of(run), "x.csv", uri=STORE, root=project, folder=folder) is None


def test_a_run_that_is_missing_is_named_with_its_store(run: Run, project: Path) -> None:
    with pytest.raises(TrackingError, match=r"run=nothing: .*mlflow\.db.*MLFLOW_TRACKING_URI"):
        read_tags("nothing", uri=STORE, root=project)


def test_reading_creates_no_store(project: Path) -> None:
    with pytest.raises(TrackingError, match="no such store"):
        read_tags("nothing", uri=STORE, root=project)
    assert not (project / "mlflow.db").exists()
