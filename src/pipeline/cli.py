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
from pipeline.help import HELP

if TYPE_CHECKING:
    from pipeline.stages.verify import Asked
    from pipeline.stages.verify_runs import Patient

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
    from pipeline.config import find_root
    from pipeline.sweep.request import checked

    return _through_hydra([*checked(overrides, root=find_root()), "-m"])


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
    from pipeline.config import SHORT_FORMS

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
