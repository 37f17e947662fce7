"""What a person asked of a sweep: short forms spelled out, every value checked before anything is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Any

from pipeline.config import SHORT_FORMS, compose, config_loader, sweep_options
from pipeline.data.store import load_card
from pipeline.errors import ConfigError
from pipeline.sweep.space import parse_space


def checked(overrides: Sequence[str], *, root: Path) -> list[str]:
    """Return what to hand to Hydra, the short forms spelled out, once every value has been composed and checked.

    Raises ConfigError for a value that no training would take, an objective sought in the wrong direction, or a
    cluster that is not there, and whatever is raised where the data is missing.
    """
    loader = config_loader(root)
    overrides = _spelled_out(overrides)
    of_hydra = [o for o in overrides if o.lstrip("+~").startswith(("hydra.", "hydra/"))]
    own = [o for o in overrides if o not in of_hydra]
    single = [o for o in own if not parse_space([o], config_loader=loader).parameters]
    options = sweep_options([*of_hydra, *single], root=root)
    if options["n_jobs"] is not None and options["n_jobs"] < 1 and options["n_jobs"] != -1:
        raise ConfigError(f"n_jobs={options['n_jobs']}: must be at least 1, or -1 for one worker a core.")
    space = parse_space(
        own,
        params=options["params"],
        conditions=options["conditions"],
        choices=options["choices"],
        config_loader=loader,
    )
    for tried in list(space.probes()) or [list(space.fixed)]:  # a space in code has no values to try here
        settings, _ = compose(tried, root=root)
        _check_objective(settings.objective, options["direction"])
        load_card(root / "data" / "processed" / settings.data.name)  # missing data would fail every trial
    _check_cluster(overrides, str(options["storage"]))
    return [*of_hydra, *own]


def _spelled_out(overrides: Sequence[str]) -> list[str]:
    """``n_trials=50`` is ``hydra.sweeper.n_trials=50``; more than one job needs a launcher that can."""
    found = []
    for override in overrides:
        key, _, value = override.partition("=")
        found.append(f"hydra.sweeper.{override}" if key in SHORT_FORMS else override)
        jobs = key in ("n_jobs", "hydra.sweeper.n_jobs")
        if jobs and not any(o.startswith("hydra/launcher=") for o in overrides) and value != "1":
            found += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={value}"]
    return found


def _check_cluster(overrides: Sequence[str], storage: str) -> None:
    """A sweep for a cluster is refused where there is none; a file as its storage is warned about."""
    launcher = next(
        (o for o in overrides if o in ("hydra/launcher=slurm", "hydra/launcher=submitit_slurm")), ""
    )
    if not launcher:
        return
    if not (which("sbatch") and which("srun")):
        raise ConfigError(
            f"{launcher}: sbatch and srun are not on the PATH. Run this on a machine that submits to SLURM, "
            "or use n_jobs=2 without it to sweep on this one."
        )
    if storage.startswith("sqlite"):
        print(
            f"warning: storage={storage} is a file. Workers on several machines need a server: "
            "storage=postgresql://<user>@<host>/<database> (docs/scale.md)",
            file=sys.stderr,
        )


def _check_objective(objective: str | Sequence[str], direction: Any) -> None:
    names = [objective] if isinstance(objective, str) else list(objective)
    ways = [direction] if isinstance(direction, str) else list(direction)
    if len(names) != len(ways):
        raise ConfigError(
            f"objective={objective}: has {len(names)} values, hydra.sweeper.direction={direction} has {len(ways)}. "
            "Give one direction for each, for example hydra.sweeper.direction=[minimize,minimize]"
        )
    for name, way in zip(names, ways, strict=True):
        if way not in ("minimize", "maximize"):
            raise ConfigError(f"hydra.sweeper.direction={way}: must be minimize or maximize.")
        better = "maximize" if name.endswith("accuracy") else "minimize"
        if way != better:
            raise ConfigError(
                f"objective={name}: {way} seeks the worst. Set hydra.sweeper.direction={better}"
            )
