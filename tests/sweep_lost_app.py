"""An application whose first trial loses its slot while it runs, before its worker notices.

The thief is another worker, for which the lease had run out. ``ends=true``: it ends the trial at
once; otherwise it is still at work when the first worker has its result.
"""

from __future__ import annotations

from pathlib import Path

import hydra
import optuna
import sqlalchemy as sql
from omegaconf import DictConfig

from pipeline.sweep import current_trial, report
from pipeline.sweep.budget import Budget
from pipeline.sweep.storage import open_storage

STORAGE, LOST = "sqlite:///optuna.db", Path("lost.txt")


@hydra.main(version_base="1.3", config_path="sweep_conf", config_name="config")
def main(config: DictConfig) -> float:
    trial = current_trial()
    assert trial is not None
    if trial.number == 0 and not LOST.exists():
        LOST.touch()
        _steal(trial.study_name, ends=config.kind == "b")
    report(1.0, step=0)
    return float(config.x)


def _steal(name: str, *, ends: bool) -> None:
    database = open_storage(STORAGE)
    with database.engine.begin() as connection:
        connection.execute(sql.text("UPDATE pipeline_tickets SET expires = 0 WHERE ticket = 0"))
    budget = Budget(database.engine, name, lease=0.5)
    slot = budget.claim()
    assert slot is not None and slot.number == 0
    if ends:
        optuna.load_study(study_name=name, storage=STORAGE).tell(0, 42.0)
        budget.close(slot, "complete")


if __name__ == "__main__":
    main()
