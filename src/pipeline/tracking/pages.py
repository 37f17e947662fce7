"""Pages of MLflow's UI, by their address behind the server's."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

# Since 3.17 the UI begins with its view for language models, whatever an experiment holds.
_TRAINING_VIEW = "workflowType=machine_learning"
_LATEST = "SELECT experiment_id FROM runs ORDER BY start_time DESC LIMIT 1"


def training_page(database: Path | None) -> str:
    """Return the address of the runs of the latest training, in the UI's view for trainings.

    database: of the store; None for another one. Then it is the address of all experiments.
    """
    if database is not None:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as store,
        ):
            found = store.execute(_LATEST).fetchone()
            if found:
                return f"#/experiments/{found[0]}/runs?{_TRAINING_VIEW}"
    return f"#/experiments?{_TRAINING_VIEW}"
