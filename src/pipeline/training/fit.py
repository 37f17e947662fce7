"""Fit a network with Lightning, and return the result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import nn

from pipeline.config.guard import is_inside
from pipeline.config.schema import Settings, Trainer
from pipeline.diagnosis.history import TRAINS_ITSELF
from pipeline.errors import TrainingError
from pipeline.records import DataCard, EpochRecord, Prepared, SignalRecord
from pipeline.training.assembly import images_of, module_of, own_measures, signals_of
from pipeline.training.attachments import ValidationMetrics, attachments_of
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.foreign_errors import told_in_one_line
from pipeline.training.hardware import Hardware, choose_hardware, without_search_for_cuda
from pipeline.training.live import LiveLine
from pipeline.training.recorder import Observer, Recorder
from pipeline.training.signals import NOTHING, Signals
from pipeline.training.threads import Threads
from pipeline.training.trainer import trainer_of


@dataclass(frozen=True)
class FitResult:
    """A trained network, and the course of its training.

    network: with the kept weights, on the CPU, in evaluation mode.  signals: without a moment
    where they are off.  kept_epoch: 0-based epoch whose weights are kept.
    one_thread_from: 0-based epoch at which a busy machine took the other threads away.
    resumed_from: how many epochs a killed process had trained.
    """

    network: nn.Module
    history: tuple[EpochRecord, ...]
    signals: SignalRecord
    kept_epoch: int
    hardware: Hardware
    num_threads: int
    one_thread_from: int | None
    stopped_early: bool
    resumed_from: int


class Diverged(TrainingError):
    """A loss is not finite. History and signals until then are kept for a diagnosis.

    world_size: how many processes trained.
    """

    def __init__(
        self,
        message: str,
        history: tuple[EpochRecord, ...],
        signals: SignalRecord,
        *,
        world_size: int = 1,
    ) -> None:
        super().__init__(message)
        self.world_size = world_size
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
    outputs: Path = Path("outputs"),
) -> FitResult:
    """Train a network. Equal settings and data give equal weights, bit for bit, on one machine.

    network: a LightningModule trains itself, see `pipeline.training.own`.  observers,
    signal_observers: called after each epoch, on the main process only.  show_progress: draw a bar
    on a terminal, and say when a fault is certain.  outputs: for files of a person's own callbacks.
    Raises `Diverged` when a loss is not finite, after the epoch has been recorded, and
    `ForeignCodeError` where a person's own class fails: finished epochs stay in ``resume``.
    """
    network, hardware = _on_this_machine(network, settings, prepared.card)
    folder = outputs / "lightning" / settings.name
    attached = attachments_of(settings, num_classes=prepared.card.num_classes, folder=folder)
    measures = own_measures(network, settings, metrics := ValidationMetrics(attached.metrics))
    recorder = Recorder(observers, keep=settings.trainer.keep, own=measures)
    signals = _signals(settings, signal_observers, is_own=(is_own := measures is not None))
    threads = _threads(settings, show_progress=show_progress)
    measuring = [c for c in (signals, measures, *attached.callbacks, recorder) if c]
    trainer = trainer_of(
        settings.trainer,
        hardware,
        callbacks=_with_ours(threads, measuring, recorder, prepared, settings, show=show_progress),
        loggers=attached.loggers,
        resume=resume,
        show=show_progress,
        folder=folder,
    )
    data = images_of(prepared, settings, channels_last=hardware.channels_last, module_is_own=is_own)
    module = module_of(
        network,
        settings,
        metrics=metrics,
        data=data,
        world_size=trainer.world_size,
        precision=hardware.precision,
    )
    begun = resume.last if resume else None
    with _told(trainer, recorder, signals, settings, resume):
        trainer.fit(module, datamodule=data, ckpt_path=begun, weights_only=True if begun else None)
    return _result(network, recorder, signals, hardware, threads, settings.trainer)


def _on_this_machine(
    network: nn.Module, settings: Settings, card: DataCard
) -> tuple[nn.Module, Hardware]:
    if settings.trainer.num_threads is not None:
        torch.set_num_threads(settings.trainer.num_threads)
    hardware = choose_hardware(network, settings, card=card)
    if hardware.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network, hardware


def _threads(settings: Settings, *, show_progress: bool) -> Threads | None:
    """Return what chooses the number of threads; None for a fixed one.

    None also where images are changed by a person's own class, whose random state is not known.
    """
    own_images = is_inside(settings.augment.target, settings.allow_targets)
    if settings.trainer.num_threads is not None or own_images:
        return None
    return Threads(partial(print, flush=True) if show_progress else None)


def _with_ours(
    threads: Threads | None,
    measuring: Sequence[lightning.Callback],
    recorder: Recorder,
    prepared: Prepared,
    settings: Settings,
    *,
    show: bool,
) -> list[lightning.Callback]:
    """Return the callbacks in order: the choice of threads first, the line of a fault last."""
    says = settings.signals.live and show
    live = LiveLine(recorder, num_classes=prepared.card.num_classes) if says else None
    return [c for c in (threads, *measuring, live) if c]


def _signals(settings: Settings, observers: Sequence[Observer], *, is_own: bool) -> Signals | None:
    if not settings.signals.enabled:
        return None
    return signals_of(settings, observers, module_is_own=is_own)


@contextmanager
def _told(
    trainer: lightning.Trainer,
    recorder: Recorder,
    signals: Signals | None,
    settings: Settings,
    resume: ResumeFolder | SharedFolder | None,
) -> Iterator[None]:
    """Let errors of the block be those that `fit` names, and keep what was measured."""
    accelerator = trainer.strategy.root_device.type
    with (
        _plain_errors(trainer, recorder, signals),
        told_in_one_line(settings.allow_targets, way_out=_way_out(resume)),
        without_search_for_cuda(accelerator),
    ):
        yield


def _way_out(resume: ResumeFolder | SharedFolder | None) -> str:
    if resume is None:
        return "Mend it, and give the same command again."
    return (
        "Mend it, and give the same command again: the training goes on after its last finished "
        "epoch."
    )


@contextmanager
def _plain_errors(
    trainer: lightning.Trainer, recorder: Recorder, signals: Signals | None
) -> Iterator[None]:
    """Add what was measured to a divergence, and give Ctrl-C its own exception back."""
    try:
        yield
    except TrainingError as error:
        if not recorder.history:
            raise
        raise Diverged(
            str(error),
            tuple(recorder.history),
            _record(signals, recorder),
            world_size=trainer.world_size,
        ) from error
    except SystemExit as error:
        if trainer.interrupted:  # Lightning has turned Ctrl-C into an exit with code 1
            raise KeyboardInterrupt from error
        raise


def _result(
    network: nn.Module,
    recorder: Recorder,
    signals: Signals | None,
    hardware: Hardware,
    threads: Threads | None,
    trainer: Trainer,
) -> FitResult:
    history = tuple(recorder.history)
    kept_epoch = history[-1].epoch
    if recorder.best_weights:
        network.load_state_dict(recorder.best_weights)
        kept_epoch = recorder.best_epoch
    return FitResult(
        network=network.cpu().to(memory_format=torch.contiguous_format).eval(),
        history=history,
        signals=_record(signals, recorder),
        kept_epoch=kept_epoch,
        hardware=hardware,
        num_threads=(threads.kept if threads else None) or torch.get_num_threads(),
        one_thread_from=threads.one_from_epoch if threads else None,
        stopped_early=len(history) < trainer.max_epochs,
        resumed_from=recorder.resumed_from,
    )


def _record(signals: Signals | None, recorder: Recorder) -> SignalRecord:
    record = signals.record() if signals else NOTHING
    if recorder.own is None:
        return record
    return replace(record, metadata={**record.metadata, TRAINS_ITSELF: "true"})


def is_main_process() -> bool:
    """Whether this process prints and records; Lightning's launcher numbers the others."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("SLURM_PROCID", "0") == "0"
