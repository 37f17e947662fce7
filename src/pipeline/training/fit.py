"""Build what a run needs, fit it with Lightning, return the result."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import nn

from pipeline.config.guard import build, locate
from pipeline.config.schema import Settings, Trainer
from pipeline.data.augment import Identity
from pipeline.errors import TrainingError
from pipeline.optim import build_optimizer, build_schedule
from pipeline.records import EpochRecord, Prepared, SignalRecord
from pipeline.training import progress
from pipeline.training.checkpoints import EpochCheckpoint, ResumeFolder, SharedFolder, WholeFileIO
from pipeline.training.datamodule import Batching, Images
from pipeline.training.hardware import (
    LIGHTNING_PRECISION,
    resolve_accelerator,
    resolve_precision,
    without_search_for_cuda,
)
from pipeline.training.module import Classifier
from pipeline.training.recorder import Observer, Recorder
from pipeline.training.signals import NOTHING, Signals


@dataclass(frozen=True)
class FitResult:
    """A trained network and how it came about.

    network: with the kept weights, on the CPU, in evaluation mode.
    kept_epoch: 0-based epoch whose weights these are.  resumed_from: epochs a killed run had done.
    signals: what was measured of the network; without a moment where that is off.
    """

    network: nn.Module
    history: tuple[EpochRecord, ...]
    signals: SignalRecord
    kept_epoch: int
    accelerator: str
    precision: str
    channels_last: bool
    num_threads: int
    stopped_early: bool
    resumed_from: int
    is_main_process: bool


class Diverged(TrainingError):
    """A loss is not finite; what was measured until then is kept, so that it can be diagnosed."""

    def __init__(self, message: str, history: tuple[EpochRecord, ...], signals: SignalRecord) -> None:
        super().__init__(message)
        self.history = history
        self.signals = signals


def fit(
    network: nn.Module,
    prepared: Prepared,
    *,
    settings: Settings,
    observers: Sequence[Observer] = (),
    signal_observers: Sequence[Observer] = (),
    resume: ResumeFolder | SharedFolder | None = None,
    show_progress: bool = True,
) -> FitResult:
    """Train a network; the same settings and data give the same weights, bit for bit, on one machine.

    observers see each finished epoch once, signal_observers what was measured of the network; both on
    the main process.  show_progress: with a bar, on a terminal.
    Raises `Diverged` when a loss is not finite, after the epoch has been recorded.
    """
    t = settings.trainer
    if t.num_threads is not None:
        torch.set_num_threads(t.num_threads)
    accelerator = resolve_accelerator(t.accelerator)
    convolutional = any(isinstance(m, nn.Conv2d) for m in network.modules())
    precision, channels_last = resolve_precision(t, accelerator=accelerator, convolutional=convolutional)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    data = images_of(prepared, settings, channels_last=channels_last)
    recorder = Recorder(observers, keep=t.keep)
    signals = _signals(settings, signal_observers) if settings.signals.enabled else None
    # The signals first: of a run that the recorder stops, the last epoch is measured too.
    callbacks: list[Any] = [*([signals] if signals else []), recorder]
    trainer = _trainer(
        t,
        accelerator=accelerator,
        precision=precision,
        callbacks=callbacks,
        resume=resume,
        show=show_progress,
    )
    steps_per_epoch = data.steps_per_epoch(world_size=trainer.world_size)
    module = _module(network, settings, steps_per_epoch=steps_per_epoch, precision=precision)
    last = resume.last if resume else None
    try:
        with without_search_for_cuda(accelerator):
            trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True if last else None)
    except TrainingError as error:
        if not recorder.history:
            raise
        raise Diverged(
            str(error), tuple(recorder.history), signals.record() if signals else NOTHING
        ) from error
    except SystemExit as error:
        if trainer.interrupted:  # Lightning has turned Ctrl-C into an exit with code 1
            raise KeyboardInterrupt from error
        raise
    if recorder.best_weights:
        network.load_state_dict(recorder.best_weights)
    history = tuple(recorder.history)
    return FitResult(
        network=network.cpu().to(memory_format=torch.contiguous_format).eval(),
        history=history,
        signals=signals.record() if signals else NOTHING,
        kept_epoch=recorder.best_epoch if recorder.best_weights else history[-1].epoch,
        accelerator=accelerator,
        precision=precision,
        channels_last=channels_last,
        num_threads=torch.get_num_threads(),
        stopped_early=len(history) < t.max_epochs,
        resumed_from=recorder.resumed_from,
        is_main_process=trainer.is_global_zero,
    )


def is_main_process() -> bool:
    """Whether this is the process that prints and records; Lightning's launcher numbers the others."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("SLURM_PROCID", "0") == "0"


def images_of(prepared: Prepared, settings: Settings, *, channels_last: bool) -> Images:
    """Return the data module of a run: which images it shows, how, and in which order."""
    d, t = settings.data, settings.trainer
    batching = Batching(
        batch_size=d.batch_size,
        fraction=d.fraction,
        label_noise=d.label_noise,
        label_noise_seed=d.label_noise_seed,
        overfit_batches=t.overfit_batches,
        probe_size=t.probe_size,
        stream=d.stream,
        channels_last=channels_last,
        seed=settings.seed,
    )
    a = settings.augment
    augmentation = build(a.target, a.arguments(), kind=None, allow=settings.allow_targets, key="augment")
    return Images(
        prepared, batching, augmentation=None if isinstance(augmentation, Identity) else augmentation
    )


def _module(network: nn.Module, settings: Settings, *, steps_per_epoch: int, precision: str) -> Classifier:
    s, o = settings, settings.optimizer
    target = locate(o.target, kind=torch.optim.Optimizer, allow=s.allow_targets, key="optimizer._target_")
    schedule = {key: value for key, value in s.schedule if key not in ("name", "warmup_epochs")}
    return Classifier(
        network,
        loss=build(s.loss.target, s.loss.arguments(), kind=nn.Module, allow=s.allow_targets, key="loss"),
        l1=s.penalty.l1,
        l2=s.penalty.l2,
        make_optimizer=partial(
            build_optimizer,
            target=target,
            learning_rate=o.learning_rate,
            weight_decay=o.weight_decay,
            # Loss scaling unscales gradients before the step, which a fused one does itself; and Lightning's mixed
            # precision, also without a scale, clips no gradients of a fused step.
            fused=False
            if precision == "16" or (precision != "32" and s.trainer.gradient_clip_norm)
            else None,
            **o.options(),
        ),
        make_schedule=partial(
            build_schedule,
            name=s.schedule.name,
            total_steps=steps_per_epoch * s.trainer.max_epochs,
            steps_per_epoch=steps_per_epoch,
            warmup_epochs=getattr(s.schedule, "warmup_epochs", 0.0),
            **schedule,
        ),
        seed=s.seed,
    )


def _signals(settings: Settings, observers: Sequence[Observer]) -> Signals:
    return Signals(
        probe_size=settings.signals.probe_size,
        seed=settings.signals.seed,
        root="network",
        l1=settings.penalty.l1,
        l2=settings.penalty.l2,
        observers=observers,
        write=False,
    )


def _trainer(
    t: Trainer,
    *,
    accelerator: str,
    precision: str,
    callbacks: list[Any],
    resume: ResumeFolder | SharedFolder | None,
    show: bool,
) -> lightning.Trainer:
    if t.early_stopping_patience is not None:
        callbacks.append(
            EarlyStopping("val/loss", patience=t.early_stopping_patience, mode="min", check_finite=False)
        )
    shown = progress.bar() if show else None
    callbacks += [shown] if shown else []
    callbacks += [EpochCheckpoint(resume.folder)] if resume else []
    _quiet()
    return lightning.Trainer(
        accelerator=accelerator,
        devices=t.devices,
        strategy=t.strategy,
        precision=LIGHTNING_PRECISION[precision],  # type: ignore[arg-type]
        max_epochs=t.max_epochs,
        gradient_clip_val=t.gradient_clip_norm,
        gradient_clip_algorithm="norm",
        callbacks=callbacks,
        plugins=[WholeFileIO()],
        deterministic=t.deterministic if accelerator == "cuda" else False,
        logger=False,
        enable_checkpointing=resume is not None,
        enable_progress_bar=shown is not None,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=2**31,
    )


def _quiet() -> None:
    """Silence what Lightning says to newcomers on every start; its warnings about our choices are answered.

    The batches are made on the device by index: worker processes would only slow them down.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*The number of training batches.*",
        ".*`isinstance.treespec.*",
        ".*`srun` command is available.*",  # once a trial, on a cluster's machines
        ".*It is recommended to use `self.log.*",  # one value on all processes already
    ):
        warnings.filterwarnings("ignore", message=message)
