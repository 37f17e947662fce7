"""Hydra: one run, a multirun, and the job that launchers call.

A task is a function such as `pipeline.commands.train_job.job`: ``task(config, root=root)`` checks
everything, writes nothing, and returns the work. ``work(output)`` returns its objective: a number,
or a list of them. A task is passed by its dotted name, since launchers send it to other processes,
and since this file may not import from ``commands/``.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline import interruption
from pipeline.config import find_root, run_config
from pipeline.config.compose import compose_job, composed_by_hydra, hydra_errors_explained
from pipeline.config.loading import conf_opened
from pipeline.config.project import CONFIG_NAME
from pipeline.config.references import register_functions
from pipeline.disk import check_disk
from pipeline.errors import ConfigError
from pipeline.passwords import hide_all

TRAINING = "pipeline.commands.train_job.job"
NEW_TRAINING = "pipeline.commands.train_job.new_job"  # refuses the name of another model
SEED_TRAINING = "pipeline.commands.train_job.seed_job"  # one seed of a group


def run_once(overrides: Sequence[str], *, root: Path, task: str = TRAINING) -> Any:
    """Compose the settings, run the task once in a folder of Hydra's, and return its objective.

    Raises `ConfigError` for wrong settings, before anything is written, and the task's errors.
    """
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import run_job
    from hydra.types import HydraContext, RunMode

    composed, config = compose_job(hide_all(overrides), root=root)
    if config.hydra.mode == RunMode.MULTIRUN:
        raise ConfigError("hydra.mode=MULTIRUN: a sweep is started with -m. Add it: train -m …")
    work = _task_named(task)(composed, root=root)
    interruption.work_begins()

    # `hydra.main` would compose twice more. This is its last step alone: it makes the run's folder
    # with .hydra/ and the log file, and obeys `hydra:` resolvers, env_set, chdir and callbacks.
    config.hydra.mode = RunMode.RUN
    with conf_opened(root):
        callbacks = Callbacks(config)
        context = HydraContext(
            config_loader=GlobalHydra.instance().config_loader(), callbacks=callbacks
        )
        callbacks.on_run_start(config=config, config_name=CONFIG_NAME)
        done = run_job(
            task_function=lambda _: work(root),
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
            hydra_context=context,
        )
        callbacks.on_run_end(config=config, config_name=CONFIG_NAME, job_return=done)
    with contextlib.redirect_stderr(io.StringIO()):  # Hydra prints there what it raises here
        return done.return_value


def multirun(overrides: Sequence[str], *, root: Path, task: str = TRAINING) -> Any:
    """Check every value of a sweep, then let Hydra's sweeper run the task for its trials.

    Returns what the sweeper returns. Raises `ConfigError` for a wrong value and the errors of
    `check_disk`, before anything is written.
    """
    from hydra.core.global_hydra import GlobalHydra

    from pipeline.sweep.arguments import checked_arguments

    wanted = checked_arguments(hide_all(overrides), root=root)
    check_disk({root / "checkpoints": 0}, largest=0)
    interruption.work_begins()
    with hydra_errors_explained(wanted, root), conf_opened(root):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        return hydra.multirun(
            config_name=CONFIG_NAME,
            task_function=partial(job, task=task),  # launchers pickle it, so it is no closure
            overrides=wanted,
        )


def job(config: Any, *, task: str) -> Any:
    """Run a task on one composed configuration; Hydra's launchers call this for each trial."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    logging.raiseExceptions = False  # else a full disk prints a traceback for each line logged
    register_functions()  # a worker composes nothing itself
    hydra_config = HydraConfig.get()
    root = find_root(Path(hydra_config.runtime.cwd))
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    composed = run_config(values, list(hydra_config.overrides.task))
    return _task_named(task)(composed, root=root)(Path(hydra_config.runtime.output_dir))


def show(flags: Sequence[str], settings: Sequence[str], *, root: Path) -> None:
    """Let Hydra answer its own flags (``--cfg job``, ``--info``, …); nothing is run."""
    import hydra

    # Hydra then raises its errors, and does not print them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    whole = sys.argv  # `hydra.main` reads its flags only there
    sys.argv = [whole[0], *flags, *settings]
    main = hydra.main(version_base="1.3", config_path=str(root / "conf"), config_name=CONFIG_NAME)
    try:
        with hydra_errors_explained(settings, root):
            composed_by_hydra(settings, root)  # its errors are clearer than those of Hydra's main
            main(_nothing)()
    finally:
        sys.argv = whole


def _nothing(config: Any) -> None:
    """Run nothing: Hydra has printed what was asked for."""


def _task_named(task: str) -> Callable[..., Callable[[Path], Any]]:
    """Import the function of a dotted name."""
    module, _, name = task.rpartition(".")
    found: Callable[..., Callable[[Path], Any]] = getattr(import_module(module), name)
    return found
