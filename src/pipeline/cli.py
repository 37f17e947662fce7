"""``pipeline <command> [group=option] [key=value] …``, in Hydra's grammar.

Nothing heavy is imported before a command is known: help is there at once, and the data stages
never load torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, PipelineError

if TYPE_CHECKING:
    from pipeline.stages.verify import Asked
    from pipeline.stages.verify_runs import Patient

HELP = """\
pipeline <command> [group=option] [key=value] ...

  download     fetch a data set, every file checked against its official checksum
  preprocess   split it, measure it, fit two cheap baselines
  train        train a model; -m sweeps: every combination of values, or n_trials=50 by Optuna
  evaluate     measure a trained model on the untouched test set and on other data
  diagnose     say why a run is not better, with evidence and remedies: name=<model>, run=<MLflow id>
               or history=<file of curves> [num_classes=10] [output=json]; probe=true (of a model) settles
               what curves leave open by short runs from its weights [probe_epochs=1]
  verify       prove a remedy: paired seeds against the run as it was, a reseed and random search
               name=<model> or run=<MLflow id> [remedies=[dropout,augment]] [seeds=5] [budget=<runs>] [n_jobs=2]
  heal         diagnose, verify, adopt what is confirmed, again until healthy: name= or run= [rounds=3] …
  reproduce    train a recorded run again: the same weights, bit for bit? name=<model> or run=<MLflow id>
  compare      several runs in one picture, and how they ended: study=<name>, names=[<model>,<model>] or a
               multirun's folder [metric=loss|val/accuracy|gradients|time_gradients|…]
  predict      name the digit in pictures: <picture or folder> … [name=cnn] [raw=true]
               [output=json], or [output=inputs]: what a server of the model takes (docs/serve.md)
  report       write results/report.html
  sweep-report write results/sweeps/<study>/report.html and conf/experiment/<study>_best.yaml
               study=<name> [storage=<url>] [retrain=true] [seeds=5]
  ui           open the record of all runs (MLflow) on 127.0.0.1; port=5000

Examples
  pipeline train model=cnn optimizer=sgd optimizer.learning_rate=0.05
  pipeline train experiment=tutorial_cnn seed=1
  pipeline train -m model=mlp,cnn model.dropout=0.0,0.5
  pipeline train -m sweep=regularization n_trials=50 n_jobs=2
  pipeline train -m sweep=all n_trials=500 n_jobs=16 hydra/launcher=slurm \\
      storage=postgresql://<user>@<host>/<database>       (docs/scale.md)
  pipeline train debug=overfit_batch
  pipeline sweep-report study=<name as the sweep printed it> retrain=true
  pipeline evaluate name=mlp
  pipeline diagnose name=mlp
  pipeline verify name=mlp
  pipeline compare study=<name as the sweep printed it> metric=gradients
  pipeline predict digit.png name=cnn

Groups and their options are the folders and files of conf/:
  data augment model activation init loss penalty optimizer schedule trainer precision
  tracking signals evaluation experiment sweep debug
`pipeline train --cfg job` prints the composed configuration and runs nothing.
"""

HYDRA_FLAGS = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "--resolve")
MULTIRUN = ("-m", "--multirun")
# What an interrupted command of these had done is not lost.
RESUMED = ("train", "verify", "heal")


def main() -> int:
    """Run the command line; return the exit code. An error for a person is one message on stderr."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pipeline {version('pipeline')}")
        return 0
    try:
        return _run(arguments[0], arguments[1:])
    except PipelineError as error:
        lines = "\n  ".join(str(error).splitlines())
        print(f"error: {lines}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        again = "goes on after the last finished epoch" if arguments[0] in RESUMED else "starts anew"
        print(f"interrupted: the same command {again}.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(command: str, overrides: Sequence[str]) -> int:
    if command not in COMMANDS:
        from pipeline.config import nearest

        raise ConfigError(f"{command}: unknown command{nearest(command, COMMANDS)}")
    if any(flag in overrides for flag in ("-h", "--help")):
        print(HELP, end="")
        return 0
    if command == "ui":
        from pipeline.stages.ui import ui

        return ui(overrides)
    flags = [o for o in overrides if o.startswith("-")]
    unknown = [flag for flag in flags if flag.split("=")[0] not in (*HYDRA_FLAGS, *MULTIRUN)]
    if unknown:
        raise ConfigError(f"{unknown[0]}: unknown flag. Settings are key=value; see pipeline --help")
    many = any(flag in MULTIRUN for flag in flags)
    if many and command != "train":
        raise ConfigError(f"{command} -m: only train runs many times. Leave -m out.")
    others = [flag for flag in flags if flag not in MULTIRUN]
    if many and others:
        raise ConfigError(f"{others[0]}: does not go together with -m. Leave one of the two out.")
    if flags:
        # Hydra's parser takes no settings after a flag that stands between them.
        plain = [o for o in overrides if o not in MULTIRUN]
        return _sweep(plain) if many else _through_hydra(plain)
    return COMMANDS[command](overrides)


def _sweep(overrides: Sequence[str]) -> int:
    """Check every value of a multirun, then hand it to Hydra: nothing is written for a mistyped one."""
    from pipeline.config import compose, config_loader, find_root, sweep_options
    from pipeline.data.store import load_card
    from pipeline.sweep.space import parse_space

    root = find_root()
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
    for tried in space.probes():
        settings, _ = compose(tried, root=root)
        _check_objective(settings.objective, options["direction"])
        load_card(root / "data" / "processed" / settings.data.name)  # missing data would fail every trial
    _check_cluster(overrides, str(options["storage"]))
    return _through_hydra([*of_hydra, *own, "-m"])


SHORT_FORMS = ("n_trials", "n_jobs", "study_name", "storage")


def _spelled_out(overrides: Sequence[str]) -> list[str]:
    """``n_trials=50`` is ``hydra.sweeper.n_trials=50``; more than one job needs a launcher that can."""
    found = []
    for override in overrides:
        key, _, value = override.partition("=")
        found.append(f"hydra.sweeper.{override}" if key in SHORT_FORMS else override)
        if key == "n_jobs" and not any(o.startswith("hydra/launcher=") for o in overrides) and value != "1":
            found += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={value}"]
    return found


def _check_cluster(overrides: Sequence[str], storage: str) -> None:
    """A sweep for a cluster is refused where there is none; a file as its storage is warned about."""
    from shutil import which

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


def _composed(overrides: Sequence[str]) -> tuple[Any, dict[str, Any], Path]:
    from pipeline.config import compose, find_root

    root = find_root()
    settings, values = compose(overrides, root=root)
    return settings, values, root


def _download(overrides: Sequence[str]) -> int:
    from pipeline.stages.download import download

    settings, _, root = _composed(overrides)
    download(settings.data, root=root)
    return 0


def _preprocess(overrides: Sequence[str]) -> int:
    from pipeline.stages.preprocess import preprocess

    settings, _, root = _composed(overrides)
    preprocess(settings.data, root=root)
    return 0


def _train(overrides: Sequence[str]) -> int:
    for override in overrides:
        if override.partition("=")[0] in (*SHORT_FORMS, "sweep"):
            raise ConfigError(f"{override}: belongs to a sweep. Add -m, or leave it out.")
    settings, _, root = _composed(overrides)
    from pipeline.stages.train import check

    check(settings, root=root)  # a mistake is told before Hydra makes a folder for the run
    return _through_hydra(overrides)


def _evaluate(overrides: Sequence[str]) -> int:
    settings, _, root = _composed(overrides)
    from pipeline.stages.evaluate import evaluate_model

    evaluate_model(settings, root=root)
    return 0


def _diagnose(overrides: Sequence[str]) -> int:
    from pipeline.config import compose, find_root
    from pipeline.stages.diagnose import diagnose_file, diagnose_model, diagnose_tracked, parse

    root = find_root()
    options = parse(overrides)
    output = options.get("output", "text")
    classes = int(options["num_classes"]) if "num_classes" in options else None
    if "history" in options:
        diagnose_file(Path(options["history"]), num_classes=classes, root=root, output=output)
    elif "run" in options:
        uri = compose([], root=root)[0].tracking.uri
        diagnose_tracked(options["run"], num_classes=classes, uri=uri, root=root, output=output)
    elif options.get("probe") == "true":
        from pipeline.stages.probe import probe_model

        epochs = int(options["probe_epochs"]) if "probe_epochs" in options else None
        probe_model(options.get("name", "mlp"), root=root, epochs=epochs, output=output)
    else:
        diagnose_model(options.get("name", "mlp"), root=root, output=output)
    return 0


def _verify(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root, sweep_options
    from pipeline.stages.verify import parse, verify
    from pipeline.stages.verify_report import tell

    root = find_root()
    asked = parse(overrides, storage=sweep_options([], root=root)["storage"])
    found = verify(_patient(asked, root), asked.options, root=root, run_sweep=_sweep)
    if found:
        tell(found)
    return 0


def _patient(asked: Asked, root: Path) -> Patient:
    from pipeline.config import compose
    from pipeline.stages.verify_patient import patient_of, patient_of_run

    if asked.run is None:
        return patient_of(asked.name, root=root)
    return patient_of_run(asked.run, uri=compose([], root=root)[0].tracking.uri, root=root)


def _heal(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root, sweep_options
    from pipeline.stages.heal import ROUNDS, heal, tell
    from pipeline.stages.verify import parse

    root = find_root()
    asked = parse(overrides, storage=sweep_options([], root=root)["storage"], extra=("rounds",))
    rounds = asked.others.get("rounds", str(ROUNDS))
    if not rounds.isdecimal() or int(rounds) < 1:
        raise ConfigError(f"rounds={rounds}: must be a whole number from 1 up.")
    patient = _patient(asked, root)
    tell(heal(patient, asked.options, root=root, run_sweep=_sweep, rounds=int(rounds)))
    return 0


def _reproduce(overrides: Sequence[str]) -> int:
    from pipeline.config import compose, find_root
    from pipeline.stages.reproduce import parse, recorded_model, recorded_run, reproduce, tell

    root = find_root()
    name, run = parse(overrides)
    uri = compose([], root=root)[0].tracking.uri
    recorded = recorded_model(name, root=root) if name else recorded_run(run, uri=uri, root=root)
    found = reproduce(recorded, root=root)
    tell(found)
    return 0 if found.same_weights else 1


def _compare(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root, sweep_options
    from pipeline.stages.compare import compare, group_of, parse

    root = find_root()
    options = parse(overrides)
    storage = str(sweep_options([], root=root)["storage"])
    compare(group_of(options, storage=storage, root=root), metric=options.metric, root=root)
    return 0


def _predict(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root
    from pipeline.stages.predict import parse, predict, serving_request

    root = find_root()
    paths, name, output, raw = parse(overrides)
    if output == "inputs":
        print(serving_request(paths, name=name, root=root, raw=raw))
        return 0
    predict(paths, name=name, root=root, output=output, raw=raw)
    return 0


def _report(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root
    from pipeline.stages.report import report

    report(_named_models(overrides), root=find_root())
    return 0


def _sweep_report(overrides: Sequence[str]) -> int:
    from pipeline.config import find_root, sweep_options
    from pipeline.stages.sweep_report import sweep_report

    root = find_root()
    options = _sweep_report_options(overrides)
    storage = options.get("storage") or str(sweep_options([], root=root)["storage"])
    sweep_report(
        options["study"],
        storage=storage,
        seeds=int(options.get("seeds", "5")),
        retrained=options.get("retrain") == "true",
        root=root,
    )
    return 0


def _sweep_report_options(overrides: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in ("study", "storage", "seeds", "retrain") or not value:
            raise ConfigError(
                f"{override}: sweep-report knows study=, storage=, seeds= and retrain=true|false."
            )
        options[key] = value
    if options.get("retrain", "true") not in ("true", "false"):
        raise ConfigError(f"retrain={options['retrain']}: must be true or false.")
    seeds = options.get("seeds", "5")
    if not (seeds.isascii() and seeds.isdecimal() and 2 <= int(seeds) <= 100):
        raise ConfigError(f"seeds={seeds}: must be a whole number from 2 to 100.")
    # Without a name: the message lists those that exist.
    return {"study": "", **options}


def _named_models(overrides: Sequence[str]) -> list[str]:
    names: list[str] = []
    for override in overrides:
        key, _, value = override.partition("=")
        if key != "models":
            raise ConfigError(
                f"{override}: report knows only models=[<name>,<name>]. Without it: all that have results."
            )
        names = [name.strip() for name in value.strip("[]").split(",") if name.strip()]
        odd = [
            name for name in names if not all(c.isalnum() or c in "._-" for c in name) or name.startswith(".")
        ]
        if odd or not names:
            raise ConfigError(f"{override}: must list names of models, for example models=[mlp,cnn]")
    return names


def _through_hydra(overrides: Sequence[str]) -> int:
    """Run the training under ``hydra.main``: run folders, logging, multirun, launchers, sweepers."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from pipeline.config import find_root
    from pipeline.config.compose import explain

    root = find_root()
    os.environ["HYDRA_FULL_ERROR"] = (
        "1"  # Hydra raises instead of printing, so that it can be told in one piece
    )
    whole = sys.argv
    sys.argv = [whole[0], *overrides]
    try:
        run = hydra.main(version_base="1.3", config_path=str(root / "conf"), config_name="config")
        run(train_job)()
    except (HydraException, OmegaConfBaseException) as error:
        plain = [o for o in overrides if not o.startswith("-")]
        raise ConfigError(explain(error, plain, root)) from error
    finally:
        sys.argv = whole
    return 0


def train_job(config: Any) -> float | list[float]:
    """Train one composed configuration; what Hydra's launchers call. Returns its objective."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from pipeline.config import find_root, settle

    hydra_config = HydraConfig.get()
    root = find_root(Path(hydra_config.runtime.cwd))
    values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    settings = settle(values, list(hydra_config.overrides.task))
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    output = Path(hydra_config.runtime.output_dir) if sweeping else root
    # Lightning starts the other processes of a distributed run with this process's command line.
    sys.argv = [sys.argv[0], "train", *(a for a in sys.argv[1:] if a != "train")]
    from pipeline.stages.train import train
    from pipeline.sweep import current_trial

    return train(settings, values, root=root, output=output, trial=current_trial())


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "download": _download,
    "preprocess": _preprocess,
    "train": _train,
    "evaluate": _evaluate,
    "diagnose": _diagnose,
    "verify": _verify,
    "heal": _heal,
    "reproduce": _reproduce,
    "compare": _compare,
    "predict": _predict,
    "report": _report,
    "sweep-report": _sweep_report,
    "ui": lambda overrides: 0,
}

if __name__ == "__main__":
    sys.exit(main())
