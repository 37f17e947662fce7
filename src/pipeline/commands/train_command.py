"""The command ``train``: one training, or a sweep of many."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.commands.command import Call, Command, Options
from pipeline.errors import ConfigError

MULTIRUN = ("-m", "--multirun")


class TrainOptions(Options):
    """Options of ``pipeline train`` that are no settings: they leave no trace in the record."""

    overwrite: bool = Field(
        False, description="replace a model of this name that has other settings"
    )


def run(call: Call[TrainOptions]) -> None:
    """Train once; with ``-m`` sweep; with a flag of Hydra's let Hydra answer it."""
    from pipeline import launch

    others = [flag for flag in call.flags if flag not in MULTIRUN]
    many = len(others) < len(call.flags)
    if many and others:
        raise ConfigError(f"{others[0]}: does not go together with -m. Leave one of the two out.")
    if "--resolve" in others and not any(flag.startswith(("--cfg", "-c")) for flag in others):
        raise ConfigError("--resolve: goes with --cfg only. Write --cfg job --resolve")
    if many and call.options.overwrite:
        raise ConfigError("overwrite=true: a sweep replaces no model. Leave it out.")
    if many:
        launch.multirun(call.settings, root=call.root)
    elif others:
        launch.show(others, call.settings, root=call.root)
    else:
        _check_single(call.settings)
        task = launch.TRAINING if _may_replace(call) else launch.NEW_TRAINING
        launch.run_once(call.settings, root=call.root, task=task)


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
        "pipeline train -m model=mlp,cnn model.dropout=0.0,0.5",
        "pipeline train -m sweep=regularization n_trials=50 n_jobs=2",
        "pipeline train debug=overfit_batch",
    ),
)
