"""The work of ``train``: prepared data and a configuration → a model, its history, its record.

`launch` calls `new_job`, `job` or `seed_job` by its name. Each checks everything first, and returns
the training as a function of its output folder.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

from torch import nn

from pipeline.commands.train_outcome import OutcomeKeeper, verdict_line
from pipeline.config import RunConfig, Settings
from pipeline.data.prepared import card_of, prepared_folder
from pipeline.data.store import load_for_training
from pipeline.diagnosis.record import HEALTHY
from pipeline.models.build import count_parameters, trains_itself
from pipeline.records import Prepared
from pipeline.runs import continuation, names
from pipeline.runs.continuation import FirstPart
from pipeline.runs.divergence import explained
from pipeline.runs.files import RunFiles
from pipeline.runs.needed_disk import check_room
from pipeline.runs.network import untrained_network
from pipeline.runs.resume import resumable
from pipeline.runs.role import Role
from pipeline.runs.tracked import Curves, tracked_run
from pipeline.runs.train_once import Objective, TrainedRun, train_once
from pipeline.runs.trial import SeedOfGroup, role_of
from pipeline.sweep.trial import current_trial
from pipeline.tracking import TensorBoard
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
    return _job_in_role(config, root=root, role=role_of(current_trial()))


def seed_job(config: RunConfig, *, root: Path) -> Callable[[Path], Objective]:
    """Do as `job` does for one seed of a group; its files lie under its name in the project."""
    trial = current_trial()
    assert trial is not None
    train_seed = _job_in_role(config, root=root, role=SeedOfGroup(trial))
    return lambda _: train_seed(root)


def new_job(config: RunConfig, *, root: Path) -> Callable[[Path], Objective]:
    """Do as `job` does, but go on with a finished run that is to train longer.

    Raises `ConfigError` where another model has the run's name.
    """
    extends = None
    if is_main_process():
        card = card_of(config.settings.data, root=root)
        extends = continuation.first_part(config, card, root=root)
        if extends is None:
            names.check_free(config, root=root)
    return _job_in_role(config, root=root, role=role_of(current_trial()), extends=extends)


def train(config: RunConfig, *, root: Path, output: Path) -> Objective:
    """Train one model; return its objective at the kept epoch, or a list of several objectives.

    root: the project.  output: where ``models/`` and ``results/`` are written.
    Raises `job`'s errors, and `Diverged` when a loss is not finite.
    """
    return job(config, root=root)(output)


def _job_in_role(
    config: RunConfig, *, root: Path, role: Role, extends: FirstPart | None = None
) -> Callable[[Path], Objective]:
    """Do what `job` does. extends: the finished run that this one continues for more epochs."""
    check_device(config.settings.trainer)
    card_of(config.settings.data, root=root)
    data = _loaded_once(prepared_folder(config.settings.data.name, root=root))
    network = untrained_network(config.settings, data.card, root=root)
    check_attachments(config.settings, network, card=data.card)
    return partial(_train, network, data, config, root=root, role=role, extends=extends)


def _train(
    network: nn.Module,
    data: Prepared,
    config: RunConfig,
    output: Path,
    *,
    root: Path,
    role: Role,
    extends: FirstPart | None = None,
) -> Objective:
    """Train a network, keep the outcome, and return the objective.

    output: the root; in a multirun the folder of the job.  extends: see `_job_in_role`.
    """
    settings = config.settings
    if not is_main_process():
        run = train_once(network, data, config, resume=SharedFolder())
        return run.objective(settings.objective)  # the main process keeps the outcome

    check_room(network, settings, output=output, root=root)
    for line in _first_lines(network, data, settings):
        role.say(line)
    held = names.held(settings.name, root=output) if role.attended else nullcontext()
    with held, resumable(config, data.card, role=role, root=root) as resume:
        with tracked_run(config, data.card, role=role, resume=resume, root=root) as record:
            files = RunFiles(output, settings.name)
            keeper = OutcomeKeeper(config, data, role, files, record, root)
            if extends is not None:
                _begin_with_its_epochs(extends, keeper, resume)
            run = _trained(network, keeper, resume, root=root)
            weights_sha256 = keeper.keep_trained(run)
        # The record is complete. Where the disk was full before this line, the run can be resumed.
        if role.attended and weights_sha256:
            _allow_more_epochs(run, keeper, resume, weights_sha256)

    for line in _last_lines(run, settings):
        role.say(line)
    return run.objective(settings.objective)


def _allow_more_epochs(
    run: TrainedRun, keeper: OutcomeKeeper, resume: ResumeFolder, weights_sha256: str
) -> None:
    """Keep the last checkpoint, from which the same name can train for more epochs."""
    continuation.keep(
        resume,
        keeper.config,
        keeper.data.card,
        epochs=len(run.history),
        run=keeper.record.key,
        weights_sha256=weights_sha256,
        root=keeper.root,
    )


def _trained(
    network: nn.Module, keeper: OutcomeKeeper, resume: ResumeFolder, *, root: Path
) -> TrainedRun:
    """Train. If the run diverges, keep what was measured, and raise an error that explains it."""
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
def _loaded_once(folder: Path) -> Prepared:
    """Read and check the data once a process: a worker of a sweep trains on it many times."""
    return load_for_training(folder)


def _observers(settings: Settings, role: Role, curves: Curves, *, output: Path) -> list[Observer]:
    """Return the functions that take the numbers of each epoch: terminal, MLflow, TensorBoard.

    output: each trial of a sweep has a folder of its own, and so event files of its own.
    """
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


def _begin_with_its_epochs(extends: FirstPart, keeper: OutcomeKeeper, resume: ResumeFolder) -> None:
    """Start from the last checkpoint of a finished run, and record its epochs in the new run."""
    name, record = keeper.config.settings.name, keeper.record
    for line in (f"{name}: goes on after epoch {extends.num_epochs}", *extends.notes):
        keeper.role.say(line)
    continuation.begin_with(extends, resume)
    record.set_tags({continuation.CONTINUES: extends.run})
    earlier = keeper.files.read_history()[: extends.num_epochs]
    keeper.curves.begin_with(earlier, keeper.files.read_signals())


def _first_lines(network: nn.Module, data: Prepared, settings: Settings) -> list[str]:
    """Return the lines that a training prints before its first epoch."""
    num_images = len(images_of(data, settings, channels_last=False).train_indices)
    num_parameters = count_parameters(network)
    examples = "rows" if data.card.columns else "images"
    line = f"{settings.name}: {num_parameters:,} parameters, {num_images:,} training {examples}"
    own = [f"{settings.name}: {_OWN_TRAINING}"] if trains_itself(network) else []
    return [line, *own]


def _last_lines(run: TrainedRun, settings: Settings) -> list[str]:
    """Return the lines that a training prints at its end."""
    name = settings.name
    accuracy, seconds = run.kept.metrics["val/accuracy"], run.seconds
    summary, most = run.summary, settings.trainer.max_epochs
    early = f"{name}: stopped early, after epoch {summary.epochs} of {most}"
    lines = [early] if summary.stopped_early else []
    kept = summary.kept_epoch
    of = "" if kept == summary.epochs else f" with the weights of epoch {kept}"
    lines.append(f"{name}: val accuracy {accuracy:.2%}{of}, in {seconds:.0f} s, models/{name}/")
    if run.diagnosis and run.diagnosis.verdict != HEALTHY:
        lines.append(verdict_line(name, run.diagnosis))
    if (settings.trainer.extra or {}).get("profiler"):
        lines.append(f"{name}: profile in outputs/lightning/{name}/")
    return lines
