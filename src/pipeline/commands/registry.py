"""All commands, in the order of a person's work: what each does, and the file that declares it.

Only the standard library is imported here, so that ``pipeline --help`` is instant. A command's own
file is imported when the command is typed; it holds ``COMMAND``, the rest of the declaration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.commands.command import Command


class Entry(NamedTuple):
    """A command's one line of help, and the file in ``commands/`` that declares it.

    settles: whether `settled` knows when it has nothing to do.  trains: whether it may train; its
    threads wait for each other at every small step, and so are kept awake.
    """

    summary: str
    file: str
    settles: bool = False
    trains: bool = False


REGISTRY: dict[str, Entry] = {
    "download": Entry(
        "fetch a data set; each file is checked against its official checksum",
        "download",
        settles=True,
    ),
    "preprocess": Entry(
        "split it, measure it, fit two cheap baselines", "preprocess", settles=True
    ),
    "train": Entry(
        "train a model; with -m every combination of values, or Optuna's trials",
        "train_command",
        trains=True,
    ),
    "tune-rate": Entry(
        "try learning rates by short runs before a training", "tune_rate", trains=True
    ),
    "evaluate": Entry("measure a model on the untouched test set and on other data", "evaluate"),
    "diagnose": Entry(
        "say why a run is not better, with evidence and remedies",
        "diagnose_command",
        trains=True,
    ),
    "watch": Entry("read a log that grows, and say when a fault has become certain", "watch"),
    "verify": Entry(
        "prove a remedy of a run, or of any command, over paired seeds with two controls",
        "verify",
        trains=True,
    ),
    "heal": Entry(
        "diagnose, verify, adopt the confirmed remedy, again until healthy", "heal", trains=True
    ),
    "reproduce": Entry(
        "train a recorded run again and compare the weights bit for bit",
        "reproduce",
        trains=True,
    ),
    "compare": Entry("draw several runs in one picture, and say how each ended", "compare"),
    "predict": Entry("classify pictures", "predict"),
    "export": Entry("write a model as one file for other programs: ONNX or PT2", "export"),
    "register": Entry(
        "give a model an alias in MLflow's registry, if it is better than the champion", "register"
    ),
    "report": Entry("write results/report.html", "report"),
    "sweep-report": Entry(
        "report a sweep, and keep its best configuration as an experiment", "sweep_report"
    ),
    "check": Entry("check every file from the raw data to the report", "check"),
    "sync": Entry("send MLflow what it did not take while its server was away", "sync"),
    "ui": Entry("open the record of all runs (MLflow) in the browser", "ui"),
    "completion": Entry("print the completion of this command line for bash or zsh", "completion"),
}


def load(name: str) -> Command:
    """Return the declaration of a command of the registry."""
    module = import_module(f"pipeline.commands.{REGISTRY[name].file}")
    command: Command = module.COMMAND
    return command


def overview() -> str:
    """Return what ``pipeline --help`` prints."""
    width = max(len(name) for name in REGISTRY)
    lines = [f"  {name:<{width}}  {entry.summary}" for name, entry in REGISTRY.items()]
    return _OVERVIEW.format(commands="\n".join(lines))


_OVERVIEW = """\
pipeline <command> [key=value] ...

{commands}

`pipeline <command> --help` lists the options of a command, with examples.
Commands run in a project's folder or in any folder below it.

Examples
  pipeline train name=cnn_sgd model=cnn optimizer=sgd optimizer.learning_rate=0.05
  pipeline train -m model=mlp,cnn model.dropout=0.0,0.5
  pipeline train -m sweep=regularization n_trials=50 n_jobs=2
  pipeline evaluate name=mlp
  pipeline diagnose name=mlp
  pipeline verify name=mlp
  pipeline compare study=<name as the sweep printed it> metric=gradients
  pipeline predict digit.png name=cnn
  pipeline register name=cnn

Groups and their options are the folders and files of conf/:
  data augment model activation init loss penalty optimizer schedule trainer precision
  tracking signals evaluation callbacks metrics logger experiment sweep debug
`pipeline train --cfg job` prints the composed configuration and runs nothing.
"""
