"""Sweeps in a real PostgreSQL: many processes begin at once, one is killed, no trial is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy
from optuna.trial import TrialState

from pipeline.errors import SweepError
from pipeline.sweep.storage import ADVISORY_LOCK, open_storage
from sweep_process import ENVIRONMENT, run, start, starts, study_in

INTERVAL = "x=interval(-10,10)"
OPEN = "import sys; from pipeline.sweep.storage import open_storage; open_storage(sys.argv[1])"


def test_eight_processes_make_the_schema_of_one_fresh_database(database: str) -> None:
    command = [sys.executable, "-c", OPEN, database]
    processes = [
        subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    output = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, output


def test_the_schema_waits_for_the_lock_of_another_machine(database: str) -> None:
    engine = sqlalchemy.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        process = subprocess.Popen([sys.executable, "-c", OPEN, database], env=ENVIRONMENT)
        time.sleep(6)
        assert process.poll() is None
        assert not sqlalchemy.inspect(connection).get_table_names()
    assert process.wait(timeout=60) == 0
    assert "pipeline_tickets" in sqlalchemy.inspect(engine).get_table_names()


def test_three_processes_on_a_fresh_database_one_killed_meet_the_total(
    tmp_path: Path, database: str
) -> None:
    storage = f"hydra.sweeper.storage='{database}'"
    line = (INTERVAL, "hydra.sweeper.n_trials=30", "steps=3", "sleep=0.1", storage)
    processes = [start(tmp_path, *line) for _ in range(3)]
    for _ in range(600):
        if (tmp_path / "starts.txt").exists() and len(starts(tmp_path)) >= 6:
            break
        time.sleep(0.1)
    os.killpg(processes[0].pid, signal.SIGKILL)
    for process in processes[1:]:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    processes[0].communicate()
    assert "30 done" in run(tmp_path, *line)
    trials = study_in(database).trials
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 30}
    assert {t.user_attrs["ticket"] for t in trials} == set(range(30))
    again = Counter(starts(tmp_path))
    assert set(again) == set(range(30))
    assert sum(again.values()) <= 31  # only what the killed one was working on began twice


@pytest.mark.parametrize("right", ["no schema", "read only"])
def test_a_user_without_rights_is_one_message(right: str, database: str) -> None:
    """Since PostgreSQL 15 a new user may make no table in a database of somebody else."""
    user = f"u{uuid.uuid4().hex[:10]}"
    engine = sqlalchemy.create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE USER {user}"))
        try:
            if right == "read only":
                setting = "default_transaction_read_only = on"
                connection.execute(sqlalchemy.text(f"ALTER USER {user} SET {setting}"))
                connection.execute(sqlalchemy.text(f"GRANT CREATE ON SCHEMA public TO {user}"))
            url = sqlalchemy.make_url(database).set(username=user)
            with pytest.raises(SweepError, match=r"refuses its user: .*ALTER DATABASE"):
                open_storage(url.render_as_string(hide_password=False))
        finally:
            connection.execute(sqlalchemy.text(f"DROP OWNED BY {user}"))
            connection.execute(sqlalchemy.text(f"DROP USER {user}"))
