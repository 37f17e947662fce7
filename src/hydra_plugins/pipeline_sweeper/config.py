"""The settings of the sweeper, its samplers and pruners, as Hydra's structured configs.

They are called as in the published plugin wherever they mean the same. An option that is None is
left to Optuna. (No postponed annotations: Hydra runs this module without registering it, and
dataclasses could not look them up.)
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class OptunaSweeperConf:
    """``hydra.sweeper``."""

    _target_: str = "hydra_plugins.pipeline_sweeper.optuna_sweeper.OptunaSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "tpe"}, {"pruner": "none"}])
    # The total over all processes and resumes. None: every combination of discrete values once.
    n_trials: int | None = None
    # Workers side by side, for launchers that can. None: as many as the launcher has.
    n_jobs: int | None = None
    # Runs of each trial, with the seeds from the setting `seed` on; a trial's value is their mean.
    seeds_per_trial: int = 1
    # minimize or maximize, or a list of them for several objectives.
    direction: Any = "minimize"
    # URL of the studies' database. None: in memory, forgotten when the sweep ends.
    storage: str | None = "sqlite:///optuna.db"
    # None: from the search itself, so that the same command goes on with the same study.
    study_name: str | None = None
    # Of a generated name.
    study_prefix: str = "sweep"
    # Key → sweep in Hydra's grammar, as text.
    params: dict[str, Any] | None = None
    # Key → {other key: values under which it exists}.
    conditions: dict[str, Any] | None = None
    # Dotted names of functions (config, trial) that suggest further parameters.
    custom_search_space: Any = None
    # The sweep stops when more than this share of n_trials has failed.
    max_failure_rate: float = 0.5
    # How often a trial is begun again whose worker was killed.
    max_attempts: int = 3
    # Seconds after which a silent worker counts as dead; one on the same machine is missed at once.
    lease: float = 60.0
    # Metric → its largest allowed value, for samplers that know constraints. A trial's metrics are
    # its attribute `metrics`; those of a training hold `parameters` and `seconds` too.
    constraints: Any = None
    # Dotted name of a class that keeps a record of the study (opened, closed).
    listener: str | None = None


@dataclass
class Random:
    """Independent uniform draws."""

    name: str = "random"
    seed: int | None = None


@dataclass
class Grid(Random):
    """Every combination once, up to n_trials."""

    name: str = "grid"


@dataclass
class TPE(Random):
    """Tree-structured Parzen estimator, Optuna's default."""

    name: str = "tpe"
    n_startup_trials: int = 10
    n_ei_candidates: int = 24
    multivariate: bool | None = None
    group: bool = False
    constant_liar: bool = True
    # Trials that TPE learns from: the latest ones, and the best of all before. None: all of them.
    window: int | None = 300


@dataclass
class CmaEs(Random):
    """Covariance matrix adaptation; needs the package cmaes."""

    name: str = "cmaes"
    n_startup_trials: int = 1
    sigma0: float | None = None
    popsize: int | None = None
    consider_pruned_trials: bool = False
    use_separable_cma: bool = False
    with_margin: bool = False


@dataclass
class GP(Random):
    """Gaussian process."""

    name: str = "gp"
    n_startup_trials: int = 10
    deterministic_objective: bool = False


@dataclass
class QMC(Random):
    """Quasi-random sequences."""

    name: str = "qmc"
    seed: int | None = 0
    qmc_type: str = "sobol"
    scramble: bool = True


@dataclass
class NSGAII(Random):
    """Genetic search for several objectives."""

    name: str = "nsgaii"
    population_size: int = 50
    mutation_prob: float | None = None
    crossover_prob: float = 0.9
    swapping_prob: float = 0.5


@dataclass
class NSGAIII(NSGAII):
    """The same with reference points, for more than two objectives."""

    name: str = "nsgaiii"


@dataclass
class Hub:
    """A sampler of OptunaHub; needs the package optunahub, and allow_targets=[optunahub]."""

    name: str = "hub"
    # As on hub.optuna.org, for example samplers/auto_sampler.
    package: str | None = None
    # Name of its class; None where the package has only one sampler.
    sampler: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None


@dataclass
class NoPruner:
    """Every trial runs to its end."""

    name: str = "none"


@dataclass
class Median:
    """Stops a trial that is worse than the median of the others at the same step."""

    name: str = "median"
    n_startup_trials: int = 5
    # The first epoch says little about the last.
    n_warmup_steps: int = 1
    interval_steps: int = 1
    n_min_trials: int = 1
    patience: int | None = None


@dataclass
class Percentile(Median):
    """Keeps the best ``percentile`` per cent at each step."""

    name: str = "percentile"
    percentile: float = 25.0


@dataclass
class SuccessiveHalving:
    """Asynchronous successive halving: after 1, 4, 16, … epochs the best quarter goes on.

    The first ``n_startup_trials`` run to their end: a small sweep must not stop all but its first.
    """

    name: str = "successive_halving"
    n_startup_trials: int = 5
    min_resource: int = 1
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    bootstrap_count: int = 0
    patience: int | None = None


@dataclass
class Hyperband:
    """Several brackets of successive halving; max_resource is the number of epochs."""

    name: str = "hyperband"
    min_resource: int = 1
    max_resource: Any = "auto"
    reduction_factor: int = 3
    bootstrap_count: int = 0
    patience: int | None = None


@dataclass
class Threshold:
    """Stops a trial whose value leaves fixed bounds."""

    name: str = "threshold"
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: int = 0
    interval_steps: int = 1


@dataclass
class Wilcoxon:
    """Signed-rank test against the best trial, for values over the same instances."""

    name: str = "wilcoxon"
    p_threshold: float = 0.1
    n_startup_steps: int = 2


def _register() -> None:
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=OptunaSweeperConf, provider="pipeline")
    parts = {
        "sampler": (Random, Grid, TPE, CmaEs, GP, QMC, NSGAII, NSGAIII, Hub),
        "pruner": (NoPruner, Median, Percentile, SuccessiveHalving, Hyperband, Threshold, Wilcoxon),
    }
    for group, nodes in parts.items():
        for node in nodes:
            store.store(
                group=f"hydra/sweeper/{group}", name=node().name, node=node, provider="pipeline"
            )


_register()
