"""Optuna's samplers and pruners, built from the options of ``hydra/sweeper``."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from pipeline.errors import SpaceError
from pipeline.sweep.hub import hub_sampler
from pipeline.sweep.window import Windowed

_SAMPLERS = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "grid": "RandomSampler",  # never asked: workers walk through the points themselves
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "hub": "",  # named by its options
}
CONSTRAINED_SAMPLERS = ("tpe", "nsgaii", "nsgaiii", "gp")
_PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive_halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
    "wilcoxon": "WilcoxonPruner",
}
MULTI_OBJECTIVE_SAMPLERS = ("tpe", "random", "nsgaii", "nsgaiii", "gp", "qmc", "grid", "hub")


def build_sampler(
    options: Mapping[str, Any],
    *,
    number: int,
    num_chosen: int = 0,
    constraints: Mapping[str, float] | None = None,
) -> optuna.samplers.BaseSampler:
    """Return the sampler for trial ``number``.

    constraints: metric → its largest allowed value.
    num_chosen: parameters that a killed worker has chosen for it. The next one must not be drawn
    with the random number of the first.
    A fixed seed would replay the same points after a resume. So each trial's seed is derived from
    the given seed and the trial's number; it is the same in every process. Raises `SpaceError` for
    an unknown sampler or option.
    """
    name, rest = _split_name(options, _SAMPLERS, "hydra/sweeper/sampler")
    seed = rest.pop("seed", None)
    # The points of QMC are one sequence, which its seed scrambles: the seed must stay the same.
    if seed is not None and name != "qmc":
        place = f"{seed}:{number}" + (f":{num_chosen}" if num_chosen else "")
        seed = int.from_bytes(hashlib.sha256(place.encode()).digest()[:4])
    if name in ("gp", "cmaes", "qmc"):
        rest.setdefault("warn_independent_sampling", False)
    if constraints:
        _check_constrained(name)
    if name == "hub":
        return hub_sampler(rest, seed=seed)
    window = rest.pop("window", None) if name == "tpe" else None
    kind = getattr(optuna.samplers, _SAMPLERS[name])
    sampler = _build(kind, {**rest, "seed": seed}, f"hydra/sweeper/sampler={name}")
    return Windowed(sampler, size=window) if window else sampler


def _check_constrained(name: str) -> None:
    if name not in (*CONSTRAINED_SAMPLERS, "hub"):
        raise SpaceError(
            f"hydra/sweeper/sampler={name}: knows no constraints. "
            f"Use one of {', '.join(CONSTRAINED_SAMPLERS)}."
        )


def build_pruner(options: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """Return the pruner. Raises `SpaceError` for an unknown pruner or option.

    patience: how many reports without an improvement the pruner waits before it stops a trial.
    n_startup_trials: of successive halving, how many first trials run to their end.
    """
    name, rest = _split_name(options, _PRUNERS, "hydra/sweeper/pruner")
    patience = rest.pop("patience", None)
    num_startup = rest.pop("n_startup_trials", 0) if name == "successive_halving" else 0
    kind = getattr(optuna.pruners, _PRUNERS[name])
    pruner = _build(kind, rest, f"hydra/sweeper/pruner={name}")
    if num_startup:
        pruner = AfterStartup(pruner, num_trials=num_startup)
    if patience:
        pruner = optuna.pruners.PatientPruner(pruner, patience=patience)
    return pruner


class AfterStartup(optuna.pruners.BasePruner):
    """Lets the first trials of a study run to their end; the inner pruner still learns from them.

    pruner: decides about all later trials.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner, *, num_trials: int) -> None:
        self.pruner = pruner
        self.num_trials = num_trials

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Return whether to stop this trial."""
        stop = self.pruner.prune(study, trial)
        return stop and trial.number >= self.num_trials


def _split_name(
    options: Mapping[str, Any], known: Mapping[str, str], group: str
) -> tuple[str, dict[str, Any]]:
    rest = dict(options)
    name = rest.pop("name", None)
    if name not in known:
        raise SpaceError(f"{group}={name}: unknown. Known are {', '.join(sorted(known))}.")
    return name, rest


def _build(kind: Any, options: Mapping[str, Any], key: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options)
    except (TypeError, ValueError) as error:
        raise SpaceError(f"{key}: {' '.join(str(error).split())}. Change that option.") from error
