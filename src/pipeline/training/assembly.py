"""The parts of a training, built from its settings: images, module, signals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import LearningRateMonitor
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from pipeline.config.guard import build, locate
from pipeline.config.schema import OwnSchedule, Settings
from pipeline.data.augment import Identity, with_generator
from pipeline.errors import ConfigError
from pipeline.optim import build_optimizer, build_schedule
from pipeline.optim.schedules import Schedule
from pipeline.records import DataCard, Prepared
from pipeline.training.attachments import ValidationMetrics, attachments_of
from pipeline.training.datamodule import Batching, Images
from pipeline.training.hardware import choose_hardware
from pipeline.training.module import Classifier
from pipeline.training.objective import build_loss
from pipeline.training.own import OwnMeasures, check_module, let_be_validated
from pipeline.training.recorder import Observer
from pipeline.training.signals import Signals
from pipeline.training.trainer import trainer_of


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
