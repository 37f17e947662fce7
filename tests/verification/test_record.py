"""The record in MLflow: the verification is the parent of all its runs, and tags sort them."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.verification.plan import num_runs
from verified import Verified


class Record:
    """The runs of a verification in MLflow."""

    def __init__(self, verified: Verified) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(f"sqlite:///{verified.root / 'mlflow.db'}")
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        runs = self.client.search_runs(experiments, max_results=1000)
        (self.top,) = (r for r in runs if r.data.tags.get("pipeline.kind") == "verification")
        top_id = self.top.info.run_id
        children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == top_id]
        self.studies = [r for r in children if r.data.tags.get("pipeline.kind") == "study"]
        self.trained = [r for r in children if r not in self.studies]

    def column(self, *tags: str) -> set[tuple[Any, ...]]:
        return {tuple(run.data.tags[f"verify.{tag}"] for tag in tags) for run in self.trained}


@pytest.fixture(scope="module")
def record(verified: Verified) -> Record:
    return Record(verified)


def test_the_parent_says_what_was_proved(record: Record) -> None:
    tags = record.top.data.tags
    assert record.top.info.run_name == "verify wide"
    assert tags["verify.proved"] == "more_data"
    assert "lowers test loss by" in tags["mlflow.note.content"]
    assert record.top.data.metrics["improvement/more_data"] > 0


def test_the_parent_holds_the_files(record: Record) -> None:
    artifacts = {a.path for a in record.client.list_artifacts(record.top.info.run_id)}
    assert {"verification.json", "verification.png", "report.html"} <= artifacts


def test_the_studies_are_children_too(record: Record) -> None:
    parts = {run.data.tags["verify.part"] for run in record.studies}
    assert parts == {"arms", "reseed", "search", "random"}
    assert {run.info.run_name for run in record.studies} == {
        "verify wide: as it was, more_data, seeds 0 to 2",
        "verify wide: control: reseeded, seeds 1000 to 1002",
        "verify wide: control: 2 draws, seed 0",
        "verify wide: control: random search, seeds 1 to 2",
    }


def test_every_run_has_its_own_arm_and_seed(record: Record) -> None:
    assert len(record.trained) == num_runs(1, 3)
    assert len(record.column("arm", "seed")) == len(record.trained)
    for run in record.trained:
        tags = run.data.tags
        assert run.info.run_name == f"{tags['verify.arm']}, seed {tags['verify.seed']}"
        assert run.data.params["seed"] == tags["verify.seed"]
        assert tags["verify.model"] == "wide" and tags["diagnosis.verdict"]


def test_remedies_are_judged_and_the_others_are_controls(record: Record) -> None:
    rows = record.column("arm", "seed", "judged")
    for seed in range(3):
        assert ("more_data", str(seed), "confirmed") in rows
        assert ("as it was", str(seed), "control") in rows
        assert ("control: reseeded", str(1000 + seed), "control") in rows
    # The draw that random search goes on with has its first seed in the search.
    assert {row[1] for row in rows if row[0] == "control: random search"} == {"1", "2"}


def test_the_draws_of_random_search_are_numbered(record: Record) -> None:
    rows = record.column("part", "arm", "seed")
    assert {row for row in rows if row[0] == "search"} == {
        ("search", "control: draw 0", "0"),
        ("search", "control: draw 1", "0"),
    }
