"""``pipeline train … seeds=5``: one setting with several seeds, as a sweep and a group of models.

The trainings are trials of a sweep over the seed: they resume, obey ``n_jobs``, and run on
clusters. When they have ended, every model is evaluated, and the group gets its record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.config import RunConfig
    from pipeline.evaluation.over_seeds import SeedsRecord
    from pipeline.sweep.analysis import StudyRecord

Seeds = int | tuple[int, ...]
# A killed training goes on after its last epoch, so a group loses no seed to kills from outside.
MOST_ATTEMPTS = 1000
_SWEEP_ONLY = (
    *("n_trials", "study_name", "direction", "max_failure_rate", "max_attempts", "params"),
    "seeds_per_trial",
)


@dataclass(frozen=True)
class Group:
    """The trainings that a command line asks for.

    overrides: those of each training.  sweep_overrides: those of ``hydra.…``, written out.
    """

    config: RunConfig
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    sweep_overrides: tuple[str, ...]
    storage: str

    @property
    def name(self) -> str:
        """The name of the group, and the beginning of its models' names."""
        return self.config.settings.name


def train_seeds(seeds: Seeds, settings: Sequence[str], *, overwrite: bool, root: Path) -> None:
    """Train, evaluate and record one setting with several seeds.

    seeds: how many, from the setting's ``seed`` on, or which.  overwrite: replace models of the
    same names, and train again what has ended.
    Raises `ConfigError` for settings that no group can have, and the errors of a sweep.
    """
    from pipeline.disk import check_results
    from pipeline.launch import SEED_TRAINING, multirun
    from pipeline.sweep.analysis import read_study

    group = group_of(seeds, settings, root=root)
    check_results(group.name, root=root)
    study_name = _study_name(group, overwrite=overwrite, root=root)
    if not overwrite:
        _check_names(group, root=root)
    listed = ", ".join(map(str, group.seeds))
    print(f"{group.name}: {len(group.seeds)} trainings, seeds {listed}", flush=True)

    multirun(_sweep_overrides(group, study_name), root=root, task=SEED_TRAINING)
    record = _evaluate_and_record(group, read_study(group.storage, study_name), root=root)
    for line in _last_lines(record):
        print(line)


def group_of(seeds: Seeds, settings: Sequence[str], *, root: Path) -> Group:
    """Read a command line. Raises `ConfigError` for settings that no group can have."""
    from pipeline.config import compose, sweep_options
    from pipeline.passwords import hide_all
    from pipeline.sweep.arguments import written_out

    written = written_out(hide_all(settings))
    of_sweep = tuple(o for o in written if o.lstrip("+~").startswith(("hydra.", "hydra/")))
    of_training = tuple(o for o in written if o not in of_sweep)
    _check_settings(seeds, settings, root=root)
    config = compose(of_training, root=root)
    first = config.settings.seed
    return Group(
        config=config,
        seeds=tuple(range(first, first + seeds)) if isinstance(seeds, int) else seeds,
        overrides=of_training,
        sweep_overrides=of_sweep,
        storage=str(sweep_options(of_sweep, root=root)["storage"]),
    )


def _check_settings(seeds: Seeds, settings: Sequence[str], *, root: Path) -> None:
    """Raise `ConfigError` for a setting that asks for several trainings by itself."""
    from pipeline.config import config_loader
    from pipeline.sweep.grammar import parse_space

    for setting in settings:
        key = setting.partition("=")[0].lstrip("+").removeprefix("hydra.sweeper.")
        if key in _SWEEP_ONLY or key == "sweep":
            raise ConfigError(
                f"{setting}: belongs to a sweep, and {shown(seeds)} trains one setting. "
                "Leave one of the two out."
            )
        if parse_space([setting], config_loader=config_loader(root)).parameters:
            raise ConfigError(
                f"{setting}: has several values, and {shown(seeds)} trains one setting. "
                "Give one value, or sweep both: -m, and seed=0,1,2 in place of seeds"
            )
        if key == "seed" and not isinstance(seeds, int):
            raise ConfigError(f"{setting}: {shown(seeds)} names the seeds. Leave {key} out.")


def shown(seeds: Seeds) -> str:
    """Return the option as a person types it."""
    return f"seeds={seeds}" if isinstance(seeds, int) else f"seeds=[{','.join(map(str, seeds))}]"


def _check_names(group: Group, *, root: Path) -> None:
    """Raise `ConfigError` where a model of the group's names has other settings."""
    from pipeline.config import RunConfig
    from pipeline.evaluation.over_seeds import member_name
    from pipeline.runs.names import check_free

    settings, values = group.config
    for seed in group.seeds:
        changed = {"name": member_name(group.name, seed), "seed": seed}
        check_free(RunConfig(settings.model_copy(update=changed), {**values, **changed}), root=root)


def _study_name(group: Group, *, overwrite: bool, root: Path) -> str:
    """Return the name of the group's study: the present one, or with ``overwrite`` a new one.

    It is a hash of everything that the trainings depend on, so that the same command goes on.
    """
    from pipeline.config.experiment import safe_name
    from pipeline.data.prepared import card_of
    from pipeline.evaluation.over_seeds import read_seeds
    from pipeline.runs.provenance import data_sha256
    from pipeline.sweep.study import study_names

    data = data_sha256(card_of(group.config.settings.data, root=root))
    content = [sorted(group.overrides), group.seeds, group.config.values, data]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    prefix = f"seeds_{safe_name(group.name)}_{digest}"
    present = [name for name in study_names(group.storage) if name.startswith(prefix)]
    latest = f"{prefix}_{len(present)}" if len(present) > 1 else prefix
    if not overwrite or not present:
        return latest
    done = read_seeds(root / "results" / group.name)
    ended = done is not None and done.study == latest
    return f"{prefix}_{len(present) + 1}" if ended else latest


def _sweep_overrides(group: Group, study_name: str) -> list[str]:
    from pipeline.config.overrides import override_text
    from pipeline.evaluation.over_seeds import member_name

    objective = group.config.settings.objective
    names = [objective] if isinstance(objective, str) else list(objective)
    directions = ["maximize" if name.endswith("accuracy") else "minimize" for name in names]
    direction = directions[0] if isinstance(objective, str) else override_text(directions)
    without_seed = [o for o in group.overrides if o.partition("=")[0] not in ("seed", "name")]
    return [
        *without_seed,
        f"name={member_name(group.name, '${seed}')}",
        f"seed={','.join(map(str, group.seeds))}",
        *group.sweep_overrides,
        f"study_name={study_name}",
        f"hydra.sweeper.direction={direction}",
        "hydra.sweeper.max_failure_rate=1.0",
        f"hydra.sweeper.max_attempts={MOST_ATTEMPTS}",
    ]


def _evaluate_and_record(group: Group, study: StudyRecord, *, root: Path) -> SeedsRecord:
    """Evaluate the models that are not evaluated yet; write and track the group's record."""
    from pipeline.commands.evaluate import evaluate
    from pipeline.evaluation.over_seeds import SEEDS_FILE, SEEDS_PICTURE, read_seeds
    from pipeline.files import write_record
    from pipeline.reporting import seed_curves
    from pipeline.reporting.style import save_png
    from pipeline.runs import seeds
    from pipeline.runs.files import RunFiles
    from pipeline.tracking import open_tracker

    settings, folder = group.config.settings, root / "results" / group.name
    earlier = read_seeds(folder)
    finished = [
        run for run in seeds.runs_of(group.name, group.seeds, study, root=root) if not run.failure
    ]
    for run in finished:
        if not seeds.is_evaluated(run, earlier=earlier, root=root):
            evaluate(settings.model_copy(update={"name": run.name}), root=root)

    record = seeds.group_of(group.name, group.seeds, study, root=root)
    files = [folder / SEEDS_FILE, folder / SEEDS_PICTURE]
    histories = [RunFiles(root, run.name).read_history() for run in finished]
    save_png(seed_curves.plot(histories), files[1])
    write_record(files[0], record)
    tracker = open_tracker(settings.tracking, root=root)
    if tracker and study.parent_run:
        seeds.record_group(record, study.parent_run, tracker, files=files)
    return record


def _last_lines(record: SeedsRecord) -> list[str]:
    """Return the last lines: what failed, size and cost, the result, and where the record lies."""
    from pipeline.evaluation.over_seeds import ACCURACY, SEEDS_FILE, SEEDS_PICTURE

    first, last = record.finished[0].name, record.finished[-1].name
    parameters, seconds = (record.kept[key].mean for key in ("parameters", "seconds"))
    accuracy, folder = record.test[ACCURACY], f"results/{record.name}"
    interval = f" [{accuracy.low:.2%}, {accuracy.high:.2%}]" if accuracy.n > 1 else ""
    return [
        *(f"seed {run.seed} failed: {run.failure}" for run in record.runs if run.failure),
        f"{parameters:,.0f} parameters, {seconds:.0f} s a training; "
        f"models/{first} … models/{last}; best by {record.objective} on validation: {record.best}",
        f"{record.name}: test {record.in_words}{interval}",
        f"record: {folder}/{SEEDS_FILE}, picture: {folder}/{SEEDS_PICTURE}",
    ]
