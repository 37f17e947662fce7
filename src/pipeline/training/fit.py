"""Fit a network with Lightning, and return the result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytorch_lightning as lightning
import torch
from torch import nn

from pipeline.config.schema import Settings
from pipeline.errors import TrainingError
from pipeline.records import EpochRecord, Prepared, SignalRecord
from pipeline.training.assembly import images_of, module_of, signals_of, trainer_of
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.hardware import Hardware, choose_hardware, without_search_for_cuda
from pipeline.training.live import LiveLine
from pipeline.training.recorder import Observer, Recorder
from pipeline.training.signals import NOTHING, Signals


@dataclass(frozen=True)
class FitResult:
    """A trained network, and the course of its training.

    network: with the kept weights, on the CPU, in evaluation mode.  signals: without a moment
    where they are off.  kept_epoch: 0-based epoch whose weights are kept.
    resumed_from: how many epochs a killed process had trained.
    """

    network: nn.Module
    history: tuple[EpochRecord, ...]
    signals: SignalRecord
    kept_epoch: int
    hardware: Hardware
    num_threads: int
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
) -> FitResult:
    """Train a network. Equal settings and data give equal weights, bit for bit, on one machine.

    observers: called once after each epoch.  signal_observers: called with the signals of each
    epoch; both on the main process only.  show_progress: draw a bar on a terminal, and say when a
    fault has become certain.
    Raises `Diverged` when a loss is not finite, after the epoch has been recorded.
    """
    if settings.trainer.num_threads is not None:
        torch.set_num_threads(settings.trainer.num_threads)
    hardware = choose_hardware(network, settings.trainer)
    if hardware.channels_last:
        network = network.to(memory_format=torch.channels_last)
    data = images_of(prepared, settings, channels_last=hardware.channels_last)
    recorder = Recorder(observers, keep=settings.trainer.keep)
    signals = signals_of(settings, signal_observers) if settings.signals.enabled else None

    # The signals come first: when the recorder stops a run, its last epoch is measured too.
    callbacks: list[lightning.Callback] = [*([signals] if signals else []), recorder]
    if settings.signals.live and show_progress:
        callbacks.append(LiveLine(recorder, num_classes=prepared.card.num_classes))
    trainer = trainer_of(
        settings.trainer, hardware, callbacks=callbacks, resume=resume, show=show_progress
    )
    steps_per_epoch = data.steps_per_epoch(world_size=trainer.world_size)
    module = module_of(
        network, settings, steps_per_epoch=steps_per_epoch, precision=hardware.precision
    )
    last = resume.last if resume else None
    with _plain_errors(trainer, recorder, signals), without_search_for_cuda(hardware.accelerator):
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True if last else None)
    return _result(network, recorder, signals, hardware, max_epochs=settings.trainer.max_epochs)


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
            _record(signals),
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
    *,
    max_epochs: int,
) -> FitResult:
    history = tuple(recorder.history)
    kept_epoch = history[-1].epoch
    if recorder.best_weights:
        network.load_state_dict(recorder.best_weights)
        kept_epoch = recorder.best_epoch
    return FitResult(
        network=network.cpu().to(memory_format=torch.contiguous_format).eval(),
        history=history,
        signals=_record(signals),
        kept_epoch=kept_epoch,
        hardware=hardware,
        num_threads=torch.get_num_threads(),
        stopped_early=len(history) < max_epochs,
        resumed_from=recorder.resumed_from,
    )


def _record(signals: Signals | None) -> SignalRecord:
    return signals.record() if signals else NOTHING


def is_main_process() -> bool:
    """Whether this process prints and records; Lightning's launcher numbers the others."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("SLURM_PROCID", "0") == "0"
