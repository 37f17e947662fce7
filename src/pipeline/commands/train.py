"""The command ``train``: one training, or a sweep of many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from pipeline.commands.command import Call, Command, Options
from pipeline.commands.train_seeds import Seeds, shown, train_seeds
from pipeline.errors import ConfigError

MULTIRUN = ("-m", "--multirun")
Count = Annotated[int, Field(ge=2, le=1000)]
Listed = tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...]


class TrainOptions(Options):
    """Options of ``pipeline train`` that are no settings: they leave no trace in the record."""

    overwrite: bool = Field(
        False, description="replace a model of this name that has other settings"
    )
    seeds: Count | Listed | None = Field(
        None, description="train with so many seeds, or with those listed, and give the mean"
    )

    @field_validator("seeds")
    @classmethod
    def _two_different(cls, seeds: Seeds | None) -> Seeds | None:
        if not isinstance(seeds, tuple):
            return seeds
        if len(seeds) == 1:
            raise ConfigError(
                f"{shown(seeds)}: is one seed, which has no spread. Name two or more, for example "
                f"seeds=[{seeds[0]},{seeds[0] + 1}], or train it alone: seed={seeds[0]}"
            )
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            raise ConfigError(f"{shown(seeds)}: names {twice} twice. Leave one out.")
        return seeds


def run(call: Call[TrainOptions]) -> None:
    """Train once; with ``-m`` sweep; with a flag of Hydra's let Hydra answer it."""
    from pipeline import launch

    others = [flag for flag in call.flags if flag not in MULTIRUN]
    many = len(others) < len(call.flags)
    if many and others:
        raise ConfigError(f"{others[0]}: does not go together with -m. Leave one of the two out.")
    if "--resolve" in others and not any(flag.startswith(("--cfg", "-c")) for flag in others):
        raise ConfigError("--resolve: goes with --cfg only. Write --cfg job --resolve")
    seeds = call.options.seeds
    if seeds is not None and call.flags:
        raise ConfigError(f"{shown(seeds)}: {_instead(call.flags[0])}")
    if many and call.options.overwrite:
        raise ConfigError("overwrite=true: a sweep replaces no model. Leave it out.")
    if seeds is not None:
        train_seeds(seeds, call.settings, overwrite=call.options.overwrite, root=call.root)
    elif many:
        launch.multirun(call.settings, root=call.root)
    elif others:
        launch.show(others, call.settings, root=call.root)
    else:
        _check_single(call.settings)
        task = launch.TRAINING if _may_replace(call) else launch.NEW_TRAINING
        launch.run_once(call.settings, root=call.root, task=task)


def _instead(flag: str) -> str:
    """Return the way out for ``seeds=`` beside a flag."""
    if flag in MULTIRUN:
        return f"trains one setting. Leave {flag} out, or give a sweep its seeds: seed=0,1,2"
    return f"trains, and {flag} only shows settings. Leave one of the two out."


def _may_replace(call: Call[TrainOptions]) -> bool:
    """Whether a model of the run's name may be replaced: a debug run's own always may."""
    keys = {setting.partition("=")[0] for setting in call.settings}
    return call.options.overwrite or ("debug" in keys and "name" not in keys)


def _check_single(settings: tuple[str, ...]) -> None:
    """Raise `ConfigError` for a setting that only a sweep has."""
    from pipeline.config import SHORT_FORMS

    for setting in settings:
        if setting.partition("=")[0] in (*SHORT_FORMS, "sweep"):
            raise ConfigError(f"{setting}: belongs to a sweep. Add -m, or leave it out.")


def _more(root: Path) -> str:
    from pipeline.commands.settings_help import settings_help

    return settings_help(root)


COMMAND = Command(
    options=TrainOptions,
    run=run,
    settings="training",
    resumed=True,
    flags={
        "-m": "sweep: train every combination of values, or n_trials=50 by Optuna",
        "--multirun": "the same as -m",
        "--cfg=": "print the composed configuration (job, hydra or all) and run nothing",
        "-c=": "the same as --cfg",
        "--resolve": "with --cfg: resolve ${…} first",
        "--info=": "print how Hydra composes (all, config, defaults, …)",
        "-i=": "the same as --info",
        "--hydra-help": "print Hydra's own help",
    },
    more=_more,
    examples=(
        "pipeline train name=cnn_sgd model=cnn optimizer=sgd optimizer.learning_rate=0.05",
        "pipeline train experiment=tutorial_cnn trainer.max_epochs=5 seed=1",
        "pipeline train experiment=tutorial_cnn seeds=5",
        "pipeline train -m model=mlp,cnn model.dropout=0.0,0.5",
        "pipeline train -m sweep=regularization n_trials=50 n_jobs=2",
        "pipeline train debug=overfit_batch",
    ),
)
