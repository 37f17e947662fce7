"""The record of runs in MLflow, and the same numbers for TensorBoard.

Everything is written into a journal on this disk first (`journal`, `run`). A thread sends it to
MLflow (`shipper`, `delivery`, `store`); what it could not send is sent later (`leftovers`, `sync`).
A failing store never stops a training.
"""

from pipeline.tracking.journal import new_key
from pipeline.tracking.kept_graphs import KeptGraphs
from pipeline.tracking.moved import mend_project
from pipeline.tracking.pages import training_page
from pipeline.tracking.reader import (
    missing_files,
    read_artifact,
    read_tags,
    read_tracked,
    run_of_model,
)
from pipeline.tracking.run import BEST_RUN_TAG, MODEL_TAG, NOTE_TAG, NoRun, Run
from pipeline.tracking.sync import Synced, sync
from pipeline.tracking.system_metrics import system_metrics
from pipeline.tracking.tensorboard import TensorBoard
from pipeline.tracking.tracker import Tracker, open_tracker, where_its_run_is

__all__ = [
    "BEST_RUN_TAG",
    "MODEL_TAG",
    "NOTE_TAG",
    "KeptGraphs",
    "NoRun",
    "Run",
    "Synced",
    "TensorBoard",
    "Tracker",
    "mend_project",
    "missing_files",
    "new_key",
    "open_tracker",
    "read_artifact",
    "read_tags",
    "read_tracked",
    "run_of_model",
    "sync",
    "system_metrics",
    "training_page",
    "where_its_run_is",
]
