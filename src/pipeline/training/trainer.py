"""Lightning's trainer of a run: what the pipeline sets of it, and the callbacks in their order."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from pipeline.config.schema import Trainer
from pipeline.errors import ConfigError
from pipeline.training import progress
from pipeline.training.checkpoints import EpochCheckpoint, ResumeFolder, SharedFolder, WholeFileIO
from pipeline.training.hardware import LIGHTNING_PRECISION, Hardware
from pipeline.training.plain_loops import use_plain_loops

# Lightning's warnings about choices that are meant. The batches are made on the device by index,
# so worker processes would only slow them down.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",
    ".*The number of training batches.*",
    ".*`isinstance.treespec.*",
    ".*`srun` command is available.*",  # once a trial, on the machines of a cluster
    ".*It is recommended to use `self.log.*",  # all processes hold one value already
)

PROFILE = "profile"  # name of a profiler's file


def trainer_of(
    settings: Trainer,
    hardware: Hardware,
    *,
    callbacks: Sequence[lightning.Callback],
    resume: ResumeFolder | SharedFolder | None,
    show: bool,
    loggers: Sequence[Logger] = (),
    folder: Path | None = None,
) -> lightning.Trainer:
    """Return Lightning's trainer; it saves checkpoints of its own only into ``resume``.

    show: draw a bar on a terminal.  folder: for the files of a person's own callbacks and loggers.
    Raises `ConfigError` where Lightning refuses an argument of ``trainer.extra``.
    """
    bar = progress.bar() if show else None
    _quiet()
    ordered = _in_order(callbacks, settings, bar, resume)
    set_by_us = {
        "accelerator": hardware.accelerator,
        "devices": settings.devices,
        "strategy": settings.strategy,
        "precision": LIGHTNING_PRECISION[hardware.precision],
        "max_epochs": settings.max_epochs,
        "gradient_clip_val": settings.gradient_clip_norm,
        "gradient_clip_algorithm": "norm",
        "callbacks": ordered,
        "plugins": [WholeFileIO()],
        "deterministic": _deterministic(settings, hardware),
        "logger": list(loggers) or False,
        # Without one of ours, Lightning would add its own.
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in ordered),
        "enable_progress_bar": bar is not None,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "log_every_n_steps": 50 if loggers else 2**31,
        "default_root_dir": folder,
    }
    trainer = _made(set_by_us, settings.extra or {}, folder)
    use_plain_loops(trainer)
    return trainer


def _deterministic(settings: Trainer, hardware: Hardware) -> bool | None:
    """None where nothing is to be switched off: a call would load torch's compiler."""
    if hardware.accelerator == "cuda":
        return settings.deterministic
    return False if torch.are_deterministic_algorithms_enabled() else None


def _made(
    set_by_us: Mapping[str, Any], extra: Mapping[str, Any], folder: Path | None
) -> lightning.Trainer:
    """Return Lightning's trainer; ``extra`` wins. Raises `ConfigError` where it is refused."""
    extra = {name: value for name, value in extra.items() if name != "max_steps"}
    try:
        trainer = lightning.Trainer(**{**set_by_us, **extra})
    except (MisconfigurationException, TypeError, ValueError) as error:
        if not extra:
            raise
        raise ConfigError(f"trainer.extra={extra}: {' '.join(str(error).split())}") from error
    if isinstance(extra.get("profiler"), str):  # it would print where nobody reads
        profiler: Any = trainer.profiler  # type: ignore[attr-defined]  # made by `Trainer`
        profiler.dirpath, profiler.filename = folder, PROFILE
    return trainer


class _StopAfterSteps(lightning.Callback):
    """Ends the training after so many steps; the epoch that they fall into is measured."""

    in_plain_loops = True

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Stop once the optimizer has taken the last step."""
        if trainer.global_step >= self.max_steps:
            trainer.should_stop = True


def _in_order(
    given: Sequence[lightning.Callback],
    settings: Trainer,
    bar: lightning.Callback | None,
    resume: ResumeFolder | SharedFolder | None,
) -> list[lightning.Callback]:
    """Return all callbacks; Lightning moves those that are checkpoints behind the others."""
    callbacks: list[lightning.Callback] = []
    patience, max_steps = settings.early_stopping_patience, (settings.extra or {}).get("max_steps")
    if patience is not None:
        callbacks.append(
            EarlyStopping("val/loss", patience=patience, mode="min", check_finite=False)
        )
    if max_steps is not None:
        callbacks.insert(0, _StopAfterSteps(max_steps))
    callbacks = [*callbacks, *given] if max_steps else [*given, *callbacks]
    if bar:
        callbacks.append(bar)
    if resume:
        callbacks.append(EpochCheckpoint(resume.folder))
    return callbacks


def _quiet() -> None:
    """Silence Lightning's advice for newcomers, and its warnings about choices that are meant."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _EXPECTED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
