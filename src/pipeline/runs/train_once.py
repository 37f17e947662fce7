"""One training from data and a configuration to a record of it; nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from pipeline.config import RunConfig
from pipeline.diagnosis import Context, Diagnosis, History, diagnose
from pipeline.errors import PipelineError
from pipeline.evaluation.model_description import TrainingSummary
from pipeline.models.build import count_parameters
from pipeline.records import DataCard, EpochRecord, Prepared, SignalRecord
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.fit import FitResult, fit
from pipeline.training.recorder import Observer

Objective = float | list[float]


@dataclass(frozen=True)
class TrainedRun:
    """A training that reached its end.

    network: with the kept weights, on the CPU, in evaluation mode.  history: one record an epoch.
    kept: the epoch whose weights are kept.  diagnosis: None where nothing can be concluded.
    resumed_from: epochs that a killed process had trained, mostly 0.
    """

    network: nn.Module
    history: tuple[EpochRecord, ...]
    signals: SignalRecord
    kept: EpochRecord
    summary: TrainingSummary
    diagnosis: Diagnosis | None
    resumed_from: int = 0

    @property
    def seconds(self) -> float:
        """Over all epochs, also those that a killed process had trained; rounded to 0.1."""
        return round(sum(row.metrics["time/epoch_s"] for row in self.history), 1)

    @property
    def numbers(self) -> Mapping[str, float]:
        """Everything that can be an objective: the metrics of the kept epoch, size and time."""
        sizes = {"parameters": self.summary.parameters, "seconds": self.seconds}
        return {**self.kept.metrics, **{name: float(size) for name, size in sizes.items()}}

    def objective(self, wanted: str | Sequence[str]) -> Objective:
        """Return the number of this name, or a list of numbers for a list of names."""
        if isinstance(wanted, str):
            return float(self.numbers[wanted])
        return [float(self.numbers[name]) for name in wanted]


def train_once(
    network: nn.Module,
    data: Prepared,
    config: RunConfig,
    *,
    observers: Sequence[Observer] = (),
    signal_observers: Sequence[Observer] = (),
    resume: ResumeFolder | SharedFolder | None = None,
    show_progress: bool = False,
    outputs: Path = Path("outputs"),
) -> TrainedRun:
    """Train a network, and diagnose the run.

    network: with its initial weights, see `untrained_network`.  observers: called once after each
    epoch; one that returns True ends the training.  signal_observers: called with the signals of
    each epoch.  resume: the folder of the run's checkpoints.
    outputs: for the files of a person's own callbacks and loggers.
    Raises `Diverged`, with history and signals, when a loss is not finite.
    """
    result = fit(
        network,
        data,
        settings=config.settings,
        observers=observers,
        signal_observers=signal_observers,
        resume=resume,
        show_progress=show_progress,
        outputs=outputs,
    )
    kept = next(row for row in result.history if row.epoch == result.kept_epoch)
    return TrainedRun(
        network=result.network,
        history=result.history,
        signals=result.signals,
        kept=kept,
        summary=_summary(result),
        diagnosis=diagnosis_of(
            config, data.card, result.history, result.signals, kept_epoch=kept.epoch
        ),
        resumed_from=result.resumed_from,
    )


def diagnosis_of(
    config: RunConfig,
    card: DataCard,
    history: Sequence[EpochRecord],
    signals: SignalRecord,
    *,
    kept_epoch: int | None,
) -> Diagnosis | None:
    """Diagnose a run that has just ended; return None where nothing can be concluded.

    kept_epoch: 0-based; None for a run that diverged, which keeps no weights.
    """
    context = Context.of(card, config.values, kept_epoch=kept_epoch)
    try:
        return diagnose(History.of(history, signals, context, name=config.settings.name))
    except PipelineError:
        return None


def _summary(result: FitResult) -> TrainingSummary:
    return TrainingSummary(
        parameters=count_parameters(result.network),
        epochs=len(result.history),
        kept_epoch=result.kept_epoch + 1,
        stopped_early=result.stopped_early,
        accelerator=result.hardware.accelerator,
        precision=result.hardware.precision,
        channels_last=result.hardware.channels_last,
        num_threads=result.num_threads,
        one_thread_from=result.one_thread_from,
    )
