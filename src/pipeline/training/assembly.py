"""The parts of a training, built from its settings: images, module, signals, trainer."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn

from pipeline.config.guard import build, locate
from pipeline.config.schema import Settings, Trainer
from pipeline.data.augment import Identity
from pipeline.optim import build_optimizer, build_schedule
from pipeline.records import Prepared
from pipeline.training import progress
from pipeline.training.checkpoints import EpochCheckpoint, ResumeFolder, SharedFolder, WholeFileIO
from pipeline.training.datamodule import Batching, Images
from pipeline.training.hardware import LIGHTNING_PRECISION, Hardware
from pipeline.training.module import Classifier
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


def images_of(prepared: Prepared, settings: Settings, *, channels_last: bool) -> Images:
    """Return the data module of a run: which images it shows, how, and in which order."""
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
    )
    augmentation = build(
        augment.target, augment.arguments(), kind=None, allow=settings.allow_targets, key="augment"
    )
    identity = isinstance(augmentation, Identity)
    return Images(prepared, batching, augmentation=None if identity else augmentation)


def module_of(
    network: nn.Module, settings: Settings, *, steps_per_epoch: int, precision: str
) -> Classifier:
    """Return the Lightning module: the network with its loss, penalties, optimizer, schedule.

    precision: ``32``, ``bf16`` or ``16``.
    """
    loss = settings.loss
    return Classifier(
        network,
        loss=build(
            loss.target,
            loss.arguments(),
            kind=nn.Module,
            allow=settings.allow_targets,
            key="loss",
        ),
        l1=settings.penalty.l1,
        l2=settings.penalty.l2,
        make_optimizer=_optimizer(settings, precision=precision),
        make_schedule=_schedule(settings, steps_per_epoch=steps_per_epoch),
        seed=settings.seed,
    )


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
    clips = precision != "32" and bool(settings.trainer.gradient_clip_norm)
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
    schedule = settings.schedule
    options = {key: value for key, value in schedule if key not in ("name", "warmup_epochs")}
    return partial(
        build_schedule,
        name=schedule.name,
        total_steps=steps_per_epoch * settings.trainer.max_epochs,
        steps_per_epoch=steps_per_epoch,
        warmup_epochs=getattr(schedule, "warmup_epochs", 0.0),
        **options,
    )


def signals_of(settings: Settings, observers: Sequence[Observer]) -> Signals:
    """Return the callback that measures the network after each epoch."""
    return Signals(
        sample_size=settings.signals.sample_size,
        seed=settings.signals.seed,
        root="network",
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
) -> lightning.Trainer:
    """Return Lightning's trainer; it logs nothing, and saves checkpoints only into ``resume``.

    show: draw a bar on a terminal.
    """
    bar = progress.bar() if show else None
    _quiet()
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=settings.devices,
        strategy=settings.strategy,
        precision=LIGHTNING_PRECISION[hardware.precision],  # type: ignore[arg-type]
        max_epochs=settings.max_epochs,
        gradient_clip_val=settings.gradient_clip_norm,
        gradient_clip_algorithm="norm",
        callbacks=[*callbacks, *_further_callbacks(settings, bar, resume)],
        plugins=[WholeFileIO()],
        deterministic=settings.deterministic if hardware.accelerator == "cuda" else False,
        logger=False,
        enable_checkpointing=resume is not None,
        enable_progress_bar=bar is not None,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=2**31,
    )


def _further_callbacks(
    settings: Trainer,
    bar: lightning.Callback | None,
    resume: ResumeFolder | SharedFolder | None,
) -> list[lightning.Callback]:
    callbacks: list[lightning.Callback] = []
    patience = settings.early_stopping_patience
    if patience is not None:
        callbacks.append(
            EarlyStopping("val/loss", patience=patience, mode="min", check_finite=False)
        )
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
