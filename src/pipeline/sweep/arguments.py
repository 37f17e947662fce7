"""The arguments of a sweep: short forms written out, and every value checked before it starts."""

from __future__ import annotations

import sys
from collections.abc import Sequence, Set
from pathlib import Path
from shutil import which
from typing import Any

from pipeline.config import SHORT_FORMS, config_loader, explicit_keys, sweep_options
from pipeline.config.compose import compose_job
from pipeline.config.overrides import override_text
from pipeline.config.schema import Settings, Trainer
from pipeline.data.prepared import card_of
from pipeline.errors import ConfigError
from pipeline.sweep.grammar import parse_space

SLURM_LAUNCHERS = ("hydra/launcher=slurm", "hydra/launcher=submitit_slurm")


def checked_arguments(overrides: Sequence[str], *, root: Path) -> list[str]:
    """Return the arguments for Hydra, after every value was composed and checked.

    Raises `ConfigError` for a value that no training accepts, an objective with the wrong
    direction or a cluster that is not there, and `DataError` for missing data.
    """
    overrides = written_out(overrides)
    of_hydra = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    own = [o for o in overrides if o not in of_hydra]
    loader = config_loader(root)
    single = [o for o in own if not parse_space([o], config_loader=loader).parameters]
    options = sweep_options([*of_hydra, *single], root=root)
    if options["n_jobs"] is not None and options["n_jobs"] < 1 and options["n_jobs"] != -1:
        raise ConfigError(
            f"n_jobs={options['n_jobs']}: must be at least 1, or -1 for one worker a core."
        )

    space = parse_space(
        own,
        params=options["params"],
        conditions=options["conditions"],
        choices=options["choices"],
        config_loader=loader,
    )
    # A space that only code defines has no values to try here.
    points = list(space.boundary_points()) or [list(space.fixed)]
    # Not `compose`, which would remember each point.
    tried = [compose_job(point, root=root)[0].settings for point in points]
    own += _comparable_objective(tried, explicit=explicit_keys(own))
    for settings in tried:
        _check_objective(settings.objective, options["direction"])
        _check_devices(settings.trainer)
        # Missing data, or data of other settings, would fail every trial.
        card_of(settings.data, root=root)
    _check_cluster(overrides, str(options["storage"]))
    return [*of_hydra, *own]


def written_out(overrides: Sequence[str]) -> list[str]:
    """Write ``n_trials=50`` as ``hydra.sweeper.n_trials=50``; add a launcher for several jobs.

    Writing out what is written out already changes nothing.
    """
    has_launcher = any(o.startswith("hydra/launcher=") for o in overrides)
    arguments = []
    for override in overrides:
        key, _, value = override.partition("=")
        arguments.append(f"hydra.sweeper.{override}" if key in SHORT_FORMS else override)
        several_jobs = key in ("n_jobs", "hydra.sweeper.n_jobs") and value != "1"
        if several_jobs and not has_launcher:
            arguments += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={value}"]
    return arguments


def _check_cluster(overrides: Sequence[str], storage: str) -> None:
    """Refuse a sweep for a cluster that is not there; warn about a file as its storage."""
    launcher = next((o for o in overrides if o in SLURM_LAUNCHERS), None)
    if launcher is None:
        return
    if not (which("sbatch") and which("srun")):
        raise ConfigError(
            f"{launcher}: sbatch and srun are not on the PATH. Run this on a machine that "
            "submits to SLURM, or use n_jobs=2 without it to sweep on this one."
        )
    if storage.startswith("sqlite"):
        print(
            f"warning: storage={storage} is a file. Workers on several machines need a server: "
            "storage=postgresql://<user>@<host>/<database> (docs/scale.md)",
            file=sys.stderr,
        )


def _check_devices(trainer: Trainer) -> None:
    """Refuse several devices for a trial.

    Lightning starts the other processes of a run with the command line of this process. Here that
    is the command line of the whole sweep.
    """
    if trainer.devices != 1:
        raise ConfigError(
            f"trainer.devices={trainer.devices}: a trial of a sweep, of verify or of heal trains "
            "on one device. Set trainer.devices=1 trainer.strategy=auto. Use n_jobs for several "
            "trials side by side. For verify and heal, train the model again in this way."
        )


def _comparable_objective(tried: Sequence[Settings], *, explicit: Set[str]) -> list[str]:
    """Return the override of the objective where the trials have losses of different kinds.

    Their ``val/loss`` are different quantities, so the cross-entropy, which all of them have, takes
    its place. Raises `ConfigError` where a person asked for the loss itself.
    """
    kinds = {str(settings.loss.model_dump()) for settings in tried}
    wanted = tried[0].objective
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    comparable = [name.replace("/loss", "/cross_entropy") for name in names]
    if len(kinds) < 2 or names == comparable:
        return []
    chosen = comparable[0] if isinstance(wanted, str) else comparable
    if "objective" in explicit:
        raise ConfigError(
            f"objective={override_text(wanted)}: the trials have losses of different kinds, whose "
            f"values cannot be compared. Use objective={override_text(chosen)}, or leave it out."
        )
    print(
        f"objective={override_text(chosen)}: the losses of the trials are of different kinds, so "
        "they are compared by their cross-entropy"
    )
    return [f"objective={override_text(chosen)}"]


def _check_objective(objective: str | Sequence[str], direction: Any) -> None:
    names = [objective] if isinstance(objective, str) else list(objective)
    directions = [direction] if isinstance(direction, str) else list(direction)
    if len(names) != len(directions):
        raise ConfigError(
            f"objective={objective}: has {len(names)} values, "
            f"hydra.sweeper.direction={direction} has {len(directions)}. Give one direction "
            "for each, for example hydra.sweeper.direction=[minimize,minimize]"
        )
    for name, given in zip(names, directions, strict=True):
        if given not in ("minimize", "maximize"):
            raise ConfigError(f"hydra.sweeper.direction={given}: must be minimize or maximize.")
        better = "maximize" if name.endswith("accuracy") else "minimize"
        if given != better:
            raise ConfigError(
                f"objective={name}: {given} seeks the worst. Set hydra.sweeper.direction={better}"
            )
