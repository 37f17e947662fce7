"""The command ``train``: prepared data and a configuration → a model, its history, its record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

from torch import nn

from pipeline.config import RunConfig, Settings
from pipeline.data.prepared import card_of, prepared_folder
from pipeline.data.store import load_for_training
from pipeline.diagnosis import Diagnosis
from pipeline.diagnosis.record import HEALTHY
from pipeline.models.build import count_parameters, trains_itself
from pipeline.records import Prepared
from pipeline.reporting import learning_curves
from pipeline.reporting.style import save_png
from pipeline.runs import continuation, names
from pipeline.runs.continuation import FirstPart
from pipeline.runs.divergence import explained
from pipeline.runs.files import RunFiles
from pipeline.runs.needed_disk import check_room
from pipeline.runs.network import untrained_network
from pipeline.runs.resume import resumable
from pipeline.runs.role import Role
from pipeline.runs.tracked import (
    Curves,
    record_network,
    record_signals,
    record_trained,
    tracked_run,
)
from pipeline.runs.train_once import Objective, TrainedRun, diagnosis_of, train_once
from pipeline.runs.trial import SeedOfGroup, role_of
from pipeline.runs.verdict import tags_of
from pipeline.sweep.trial import current_trial
from pipeline.tracking import Run, TensorBoard
from pipeline.training.assembly import check_attachments, images_of
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.fit import Diverged, is_main_process
from pipeline.training.hardware import check_device
from pipeline.training.progress import epoch_line
from pipeline.training.recorder import Observer

_OWN_TRAINING = (
    "trains itself by its own training_step and optimizer; loss, penalty, optimizer, schedule, "
    "init and activation have no effect. Loss below is cross-entropy"
)


def job(config: RunConfig, *, root: Path) -> Callable[[Path], Objective]:
    """Read the data and build the network; return the training, which takes its output folder.

    Nothing is written. Raises `DataError` for missing data, `ConfigError` for data that was
    prepared with other settings, a network that cannot be built or a device that is not there.
    """
    return _prepared_job(config, root=root, role=role_of(current_trial()))


def seed_job(config: RunConfig, *, root: Path) -> Callable[[Path], Objective]:
    """Do as `job` does for one seed of a group; its files lie under its name in the project."""
    trial = current_trial()
    assert trial is not None
    train_seed = _prepared_job(config, root=root, role=SeedOfGroup(trial))
    return lambda _: train_seed(root)


def new_job(config: RunConfig, *, root: Path) -> Callable[[Path], Objective]:
    """Do as `job` does, but go on with a finished run that is to train longer.

    Raises `ConfigError` where another model has the run's name.
    """
    first = None
    if is_main_process():
        card = card_of(config.settings.data, root=root)
        first = continuation.first_part(config, card, root=root)
        if first is None:
            names.check_free(config, root=root)
    return _prepared_job(config, root=root, role=role_of(current_trial()), first=first)


def train(config: RunConfig, *, root: Path, output: Path) -> Objective:
    """Train one model; return its objective at the kept epoch, or a list of several objectives.

    root: the project.  output: where ``models/`` and ``results/`` are written.
    Raises `job`'s errors, and `Diverged` when a loss is not finite.
    """
    return job(config, root=root)(output)


def _prepared_job(
    config: RunConfig, *, root: Path, role: Role, first: FirstPart | None = None
) -> Callable[[Path], Objective]:
    """first: the finished run whose epochs are the first ones of this one."""
    check_device(config.settings.trainer)
    card_of(config.settings.data, root=root)
    data = _prepared(prepared_folder(config.settings.data.name, root=root))
    network = untrained_network(config.settings, data.card, root=root)
    check_attachments(config.settings, network, card=data.card)
    return partial(_train, network, data, config, root=root, role=role, first=first)


def _train(
    network: nn.Module,
    data: Prepared,
    config: RunConfig,
    output: Path,
    *,
    root: Path,
    role: Role,
    first: FirstPart | None = None,
) -> Objective:
    """Train a network, keep the outcome, and return the objective.

    output: the root; in a multirun the folder of the job.  first: see `_prepared_job`.
    """
    settings = config.settings
    if not is_main_process():
        beside = train_once(network, data, config, resume=SharedFolder())
        return beside.objective(settings.objective)

    check_room(network, settings, output=output, root=root)
    for line in _beginning(network, data, settings):
        role.say(line)
    with (
        names.held(settings.name, root=output) if role.attended else nullcontext(),
        resumable(config, data.card, role=role, root=root) as resume,
    ):
        with tracked_run(config, data.card, role=role, resume=resume, root=root) as record:
            files = RunFiles(output, settings.name)
            keeper = _Keeper(config, data, role, files, record, root)
            _go_on(first, keeper, resume)
            run = _trained(network, keeper, resume, root=root)
            digest = keeper.keep_trained(run)
        # The record is whole: until here a full disk leaves the run where it can go on.
        if role.attended and digest:
            continuation.keep(
                resume,
                config,
                data.card,
                epochs=len(run.history),
                run=record.key,
                weights_sha256=digest,
                root=root,
            )

    for line in _ending(run, settings):
        role.say(line)
    return run.objective(settings.objective)


def _trained(
    network: nn.Module, keeper: _Keeper, resume: ResumeFolder, *, root: Path
) -> TrainedRun:
    """Train; of a run that diverged keep what was measured, and say where that began."""
    config, data, role = keeper.config, keeper.data, keeper.role
    try:
        return train_once(
            network,
            data,
            config,
            observers=_observers(config.settings, role, keeper.curves, output=keeper.files.root),
            signal_observers=[keeper.curves.of_signals] if role.attended else [],
            resume=resume,
            show_progress=role.attended,
            outputs=keeper.files.root / "outputs",
        )
    except Diverged as error:
        keeper.keep_diverged(error)
        if not role.attended:
            raise
        raise explained(error, data, config, resume=resume, root=root) from error


@cache
def _prepared(folder: Path) -> Prepared:
    """Read and check the data once a process: a worker of a sweep trains on it many times."""
    return load_for_training(folder)


def _observers(settings: Settings, role: Role, curves: Curves, *, output: Path) -> list[Observer]:
    """output: each trial of a sweep has a folder of its own, and so event files of its own."""
    max_epochs = settings.trainer.max_epochs
    observers: list[Observer] = [
        lambda row: role.say(epoch_line(row, max_epochs=max_epochs)),
        curves.of_epoch,
    ]
    if settings.tracking.tensorboard:
        folder = output / "outputs" / "tensorboard" / settings.name
        observers.append(TensorBoard(folder).log_epoch)
    wanted = settings.objective
    return observers + role.observers(wanted if isinstance(wanted, str) else wanted[0])


@dataclass(frozen=True)
class _Keeper:
    """Keeps the outcome of one training: on the disk, in its tracked run, in its trial.

    root: the project; the files of a trial lie elsewhere.
    """

    config: RunConfig
    data: Prepared
    role: Role
    files: RunFiles
    record: Run
    root: Path

    @cached_property
    def curves(self) -> Curves:
        """The writer of the run's curves."""
        return Curves(self.record)

    def keep_diverged(self, error: Diverged) -> None:
        """Keep what was measured before the loss was not finite, with its diagnosis."""
        config, history, signals = self.config, error.history, error.signals
        self.record.log_files(self.files.write_measured(config.values, history, signals))
        record_signals(self.record, signals)
        diagnosis = diagnosis_of(config, self.data.card, history, signals, kept_epoch=None)
        if diagnosis is None:
            return
        self.record.set_tags(tags_of(diagnosis))
        if diagnosis.findings and self.role.attended:
            self.role.say(_verdict_line(config.settings.name, diagnosis))

    def keep_trained(self, run: TrainedRun) -> str | None:
        """Keep a run that reached its end; return the hash of its model's weights.

        A trial that was stopped leaves no model: None.
        """
        if run.diagnosis:
            self.record.set_tags(tags_of(run.diagnosis))
        self.role.trained(run, self.config.settings.objective)

        values = self.config.values
        paths = self.files.write_measured(
            values, run.history, run.signals, resumed_from_epoch=run.resumed_from
        )
        if not self.role.leaves_model:
            return None
        if self.role.attended:  # MLflow's UI draws the curves of trials
            paths.append(self.files.results / "learning_curves.png")
            save_png(learning_curves.plot(run.history), paths[-1])
        digest = self.files.write_model(run, values, self.data)

        settings, data = self.config.settings, self.data
        with_network = settings.tracking.model
        if with_network is True or (with_network == "auto" and self.role.attended):
            images, name = data.val.images, settings.name
            record_network(
                self.record,
                run.network,
                data.card,
                images,
                name=name,
                sha256=digest,
                root=self.root,
            )
        record_trained(self.record, run, data, paths, weights_sha256=digest)
        if self.role.attended:
            record_signals(self.record, run.signals)
        return digest


def _go_on(first: FirstPart | None, keeper: _Keeper, resume: ResumeFolder) -> None:
    """Let a run begin with the epochs of a finished one, if any; its record gets them too."""
    if first is None:
        return
    name, record = keeper.config.settings.name, keeper.record
    for line in (f"{name}: goes on after epoch {first.num_epochs}", *first.notes):
        keeper.role.say(line)
    continuation.begin_with(first, resume)
    record.set_tags({continuation.CONTINUES: first.run})
    earlier = keeper.files.read_history()[: first.num_epochs]
    keeper.curves.begin_with(earlier, keeper.files.read_signals())


def _beginning(network: nn.Module, data: Prepared, settings: Settings) -> list[str]:
    num_images = len(images_of(data, settings, channels_last=False).train_indices)
    num_parameters = count_parameters(network)
    line = f"{settings.name}: {num_parameters:,} parameters, {num_images:,} training images"
    own = [f"{settings.name}: {_OWN_TRAINING}"] if trains_itself(network) else []
    return [line, *own]


def _ending(run: TrainedRun, settings: Settings) -> list[str]:
    name = settings.name
    accuracy, seconds = run.kept.metrics["val/accuracy"], run.seconds
    lines = [f"{name}: val accuracy {accuracy:.2%}, in {seconds:.0f} s, models/{name}/"]
    if run.diagnosis and run.diagnosis.verdict != HEALTHY:
        lines.append(_verdict_line(name, run.diagnosis))
    if (settings.trainer.extra or {}).get("profiler"):
        lines.append(f"{name}: profile in outputs/lightning/{name}/")
    return lines


def _verdict_line(name: str, diagnosis: Diagnosis) -> str:
    verdict = f"{diagnosis.verdict.replace('_', ' ')} ({diagnosis.confidence:.2f})"
    return f"{name}: {verdict}; why, and what to do: pipeline diagnose name={name}"
