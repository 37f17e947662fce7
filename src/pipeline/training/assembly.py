"""The parts of a training, built from its settings: images, module, signals, trainer."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, LearningRateMonitor
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from pipeline.config.guard import build, locate
from pipeline.config.schema import OwnSchedule, Settings, Trainer
from pipeline.data.augment import Identity, with_generator
from pipeline.errors import ConfigError
from pipeline.optim import build_optimizer, build_schedule
from pipeline.optim.schedules import Schedule
from pipeline.records import DataCard, Prepared
from pipeline.training import progress
from pipeline.training.attachments import ValidationMetrics, attachments_of
from pipeline.training.checkpoints import EpochCheckpoint, ResumeFolder, SharedFolder, WholeFileIO
from pipeline.training.datamodule import Batching, Images
from pipeline.training.hardware import LIGHTNING_PRECISION, Hardware, choose_hardware
from pipeline.training.module import Classifier
from pipeline.training.objective import build_loss
from pipeline.training.own import OwnMeasures, check_module, let_be_validated
from pipeline.training.plain_loops import use_plain_loops
from pipeline.training.recorder import Observer
from pipeline.training.signals import Signals

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


def images_of(
    prepared: Prepared, settings: Settings, *, channels_last: bool, module_is_own: bool = False
) -> Images:
    """Return the data module of a run: which images it shows, how, and in which order.

    module_is_own: whether a LightningModule of a person's own is trained.
    """
    data, trainer, augment = settings.data, settings.trainer, settings.augment
    batching = Batching(
        batch_size=data.batch_size,
        fraction=data.fraction,
        label_noise=data.label_noise,
        label_noise_seed=data.label_noise_seed,
        overfit_batches=trainer.overfit_batches,
        sample_size=trainer.sample_size,
        stream=data.stream,
        channels_last=channels_last,
        seed=settings.seed,
        balanced=data.sampling == "balanced",
    )
    augmentation = build(
        augment.target, augment.arguments(), kind=None, allow=settings.allow_targets, key="augment"
    )
    identity = isinstance(augmentation, Identity)
    return Images(
        prepared,
        batching,
        augmentation=None if identity else with_generator(augmentation),
        module_is_own=module_is_own,
    )


def module_of(
    network: nn.Module,
    settings: Settings,
    *,
    metrics: ValidationMetrics,
    data: Images,
    world_size: int,
    precision: str,
) -> lightning.LightningModule:
    """Return the Lightning module: the network with its loss, penalties, optimizer, schedule.

    A person's own LightningModule has them already.
    data: the images that are trained on.  world_size: the number of processes that share them.
    precision: ``32``, ``bf16`` or ``16``.
    """
    if isinstance(network, lightning.LightningModule):
        return network
    num_batches = data.steps_per_epoch(world_size=world_size)
    together = (settings.trainer.extra or {}).get("accumulate_grad_batches", 1)
    return Classifier(
        network,
        loss=build_loss(
            settings.loss, class_counts=data.class_counts(), allow=settings.allow_targets
        ),
        l1=settings.penalty.l1,
        l2=settings.penalty.l2,
        make_optimizer=_optimizer(settings, precision=precision),
        make_schedule=_schedule(settings, steps_per_epoch=math.ceil(num_batches / together)),
        seed=settings.seed,
        metrics=metrics,
    )


def own_measures(
    network: nn.Module, settings: Settings, metrics: ValidationMetrics
) -> OwnMeasures | None:
    """Return what measures a person's own LightningModule; None for any other network."""
    if not isinstance(network, lightning.LightningModule):
        return None
    check_module(network)
    let_be_validated(network)
    return OwnMeasures(seed=settings.seed, metrics=metrics)


def _optimizer(
    settings: Settings, *, precision: str
) -> Callable[[nn.Module], torch.optim.Optimizer]:
    optimizer = settings.optimizer
    target = locate(
        optimizer.target,
        kind=torch.optim.Optimizer,
        allow=settings.allow_targets,
        key="optimizer._target_",
    )
    # With loss scaling, Lightning unscales gradients before the step, and so would a fused step.
    # In mixed precision, Lightning does not clip the gradients of a fused optimizer.
    scales = precision == "16"
    trainer = settings.trainer
    clipping = trainer.gradient_clip_norm or (trainer.extra or {}).get("gradient_clip_val")
    clips = precision != "32" and bool(clipping)
    return partial(
        build_optimizer,
        target=target,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        fused=False if scales or clips else None,
        **optimizer.options(),
    )


def _schedule(
    settings: Settings, *, steps_per_epoch: int
) -> Callable[[torch.optim.Optimizer], object]:
    schedule, trainer = settings.schedule, settings.trainer
    if isinstance(schedule, OwnSchedule):
        return partial(_own_schedule, schedule=schedule, allow=settings.allow_targets)
    limit = (trainer.extra or {}).get("max_steps")
    all_steps = steps_per_epoch * trainer.max_epochs
    options = {key: value for key, value in schedule if key not in ("name", "warmup_epochs")}
    return partial(
        build_schedule,
        name=schedule.name,
        total_steps=min(all_steps, limit or all_steps),
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=getattr(schedule, "warmup_epochs", 0.0),
        **options,
    )


def _own_schedule(
    optimizer: torch.optim.Optimizer, *, schedule: OwnSchedule, allow: Sequence[str]
) -> Schedule:
    scheduler = build(
        schedule.target,
        schedule.arguments or {},
        kind=LRScheduler,
        allow=allow,
        offered={"optimizer": optimizer},
        key="schedule",
    )
    return Schedule(scheduler=scheduler, interval=schedule.interval, monitor=None)


def check_attachments(settings: Settings, network: nn.Module, *, card: DataCard) -> None:
    """Build what a person attaches once, so that a mistake is found before anything is written.

    Raises `ConfigError` for it, and for an argument that Lightning refuses.
    """
    attached = attachments_of(
        settings, num_classes=card.num_classes, folder=Path("outputs") / "none"
    )
    own_measures(network, settings, ValidationMetrics({}))
    if settings.trainer.extra:
        hardware = choose_hardware(network, settings, card=card)
        trainer_of(settings.trainer, hardware, callbacks=[], resume=None, show=False)
    if not attached.loggers and any(
        isinstance(callback, LearningRateMonitor) for callback in attached.callbacks
    ):
        raise ConfigError(
            "callbacks: LearningRateMonitor sends to loggers, and there is none. Add logger=csv "
            "(MLflow has the learning rate of each epoch without it)."
        )


def signals_of(
    settings: Settings, observers: Sequence[Observer], *, module_is_own: bool = False
) -> Signals:
    """Return the callback that measures the network after each epoch."""
    return Signals(
        sample_size=settings.signals.sample_size,
        seed=settings.signals.seed,
        root="" if module_is_own else "network",
        l1=settings.penalty.l1,
        l2=settings.penalty.l2,
        observers=observers,
        write=False,
    )


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
