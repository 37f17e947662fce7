"""kill -9 in the middle of sweeps: rounds of benchmarks/killed_sweeps.py, and its own check."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from killed_sweeps import WAYS, one_round, wrong

TABLES = {
    "optuna.db": """
        create table trials (trial_id integer, number integer, state text);
        create table trial_user_attributes (trial_id integer, key text, value_json text);
        insert into trials values (1, 0, 'COMPLETE'), (2, 1, 'PRUNED'), (3, 2, 'FAIL');
        insert into trial_user_attributes values
            (1, 'ticket', '0'), (2, 'ticket', '1'), (3, 'ticket', '2');
    """,
    "mlflow.db": """
        create table runs (run_uuid text, name text, status text);
        create table tags (run_uuid text, key text, value text);
        insert into runs values
            ('p', 'faults', 'FINISHED'), ('a', 'mlp 0', 'FINISHED'),
            ('b', 'mlp 1', 'KILLED'), ('c', 'mlp 2', 'FAILED');
        insert into tags values
            ('a', 'optuna.trial', '0'), ('b', 'optuna.trial', '1'), ('c', 'optuna.trial', '2');
    """,
}
# What is broken → the database, the change, and the first words of the complaint.
PLANTED = {
    "a_trial_left_running": (
        "optuna.db",
        "update trials set state = 'RUNNING' where number = 1",
        "Optuna: trial 1 is RUNNING",
    ),
    "a_trial_lost": (
        "optuna.db",
        "delete from trials where number = 2",
        "Optuna: 2 trials, not 3",
    ),
    "a_trial_too_many": (
        "optuna.db",
        "insert into trials values (4, 3, 'COMPLETE')",
        "Optuna: 4 trials, not 3",
    ),
    "a_slot_with_two_trials": (
        "optuna.db",
        "update trial_user_attributes set value_json = '1'",
        "Optuna: trials of [(1,)] slots",
    ),
    "a_run_left_running": (
        "mlflow.db",
        "update runs set status = 'RUNNING' where run_uuid = 'b'",
        "MLflow: runs of trials",
    ),
    "a_run_lost": (
        "mlflow.db",
        "delete from runs where run_uuid = 'c'",
        "MLflow: runs of trials",
    ),
    "a_run_doubled": (
        "mlflow.db",
        "insert into runs values ('d', 'mlp 0', 'FINISHED');"
        "insert into tags values ('d', 'optuna.trial', '0')",
        "MLflow: runs of trials",
    ),
    "another_outcome": (
        "mlflow.db",
        "update runs set status = 'FINISHED' where run_uuid = 'c'",
        "MLflow: runs of trials",
    ),
    "a_study_left_open": (
        "mlflow.db",
        "update runs set status = 'RUNNING' where run_uuid = 'p'",
        "MLflow: runs of the study",
    ),
    "a_study_doubled": (
        "mlflow.db",
        "insert into runs values ('q', 'faults', 'FINISHED')",
        "MLflow: runs of the study",
    ),
}


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    for name, text in TABLES.items():
        change(tmp_path, name, text)
    return tmp_path


def change(folder: Path, name: str, text: str) -> None:
    database = sqlite3.connect(folder / name)
    database.executescript(text)
    database.close()


def test_a_sweep_that_ended_well_has_nothing_wrong(ended: Path) -> None:
    assert wrong(ended, 3) == []


@pytest.mark.parametrize(
    ("database", "text", "complaint"), [pytest.param(*v, id=k) for k, v in PLANTED.items()]
)
def test_a_trial_or_run_that_is_lost_doubled_or_left_running_is_seen(
    database: str, text: str, complaint: str, ended: Path
) -> None:
    change(ended, database, text)
    assert wrong(ended, 3)[0].startswith(complaint)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(WAYS)), ids=WAYS)
def test_a_killed_sweep_ends_with_its_budget(index: int) -> None:
    passed, summary = one_round(index, 8, fresh=True)
    assert passed, summary
