"""The settings of a training for ``pipeline train --help``: groups and values worth knowing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.commands.manual import table
from pipeline.config.conf_files import group_table, keys_with_schemas, sections_of
from pipeline.config.ranges import range_of

# Settings that most trainings touch; the others stand in conf/ and in `--cfg job`.
WORTH_KNOWING = (
    "name",
    "seed",
    "data.fraction",
    "data.batch_size",
    "data.label_noise",
    "model.width",
    "model.depth",
    "model.dropout",
    "model.normalization",
    "penalty.l1",
    "penalty.l2",
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "schedule.warmup_epochs",
    "trainer.max_epochs",
    "trainer.early_stopping_patience",
    "trainer.gradient_clip_norm",
    "trainer.keep",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.precision",
    "trainer.num_threads",
)
OF_A_SWEEP = (
    ("n_trials=", "trials in all, over all resumes; without it every combination once"),
    ("n_jobs=", "trials side by side"),
    ("seeds_per_trial=", "seeds of each trial, whose value is their mean"),
    ("study_name=", "name of the study; the same name goes on with it"),
    ("storage=", "URL of the database; without it optuna.db in the project"),
)


def settings_help(root: Path) -> str:
    """Return the groups of ``conf/`` with their options, and the values worth knowing.

    Meaning and range come from the schema, the default from ``conf/``.
    """
    known = {
        key: f"{schema.get('description', '')} ({range_of(schema)}; default {_shown(value)})"
        for key, value, schema in keys_with_schemas(sections_of([], root=root))
    }
    rows = [(f"{key}=", known[key].strip()) for key in WORTH_KNOWING if key in known]
    return (
        f"Groups and their options, the default first: group=option\n{table(group_table(root))}\n\n"
        f"Values worth knowing, with the default model: key=value\n{table(rows)}\n\n"
        f"With -m also\n{table(OF_A_SWEEP)}"
    )


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return "the model's" if text.startswith("${") else text
