"""All commands, in the order of a person's work, each with its one line of help.

Only the standard library is imported here, so that ``pipeline --help`` is instant. The file
``commands/<name>.py`` of a command is imported when the command is typed. Its ``COMMAND`` is the
rest of the declaration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.commands.command import Command


class Entry(NamedTuple):
    """What is known of a command before its file is imported.

    summary: its line of help.  skips_when_up_to_date: `up_to_date` knows when nothing is to do.
    trains: it may train, so the threads of OpenMP stay awake between its small steps.
    """

    summary: str
    skips_when_up_to_date: bool = False
    trains: bool = False


REGISTRY: dict[str, Entry] = {
    "download": Entry(
        "fetch a data set; each file is checked against its official checksum",
        skips_when_up_to_date=True,
    ),
    "preprocess": Entry(
        "split it, measure it, fit two cheap baselines", skips_when_up_to_date=True
    ),
    "train": Entry(
        "train a model; with -m every combination of values, or Optuna's trials", trains=True
    ),
    "tune-rate": Entry("try learning rates by short runs before a training", trains=True),
    "evaluate": Entry("measure a model on the untouched test set and on other data"),
    "diagnose": Entry("say why a run is not better, with evidence and remedies", trains=True),
    "watch": Entry("read a log that grows, and say when a fault has become certain"),
    "verify": Entry(
        "prove a remedy of a run, or of any command, over paired seeds with two controls",
        trains=True,
    ),
    "heal": Entry("diagnose, verify, adopt the confirmed remedy, again until healthy", trains=True),
    "reproduce": Entry(
        "train a recorded run again and compare the weights bit for bit", trains=True
    ),
    "compare": Entry("draw several runs in one picture, and say how each ended"),
    "predict": Entry("classify pictures"),
    "export": Entry("write a model as one file for other programs: ONNX or PT2"),
    "register": Entry(
        "give a model an alias in MLflow's registry, if it is better than the champion"
    ),
    "report": Entry("write results/report.html"),
    "sweep-report": Entry("report a sweep, and keep its best configuration as an experiment"),
    "check": Entry("check every file from the raw data to the report"),
    "sync": Entry("send MLflow what it did not take while its server was away"),
    "ui": Entry("open the record of all runs (MLflow) in the browser"),
    "completion": Entry("print the completion of this command line for bash or zsh"),
}


def load(name: str) -> Command:
    """Return the declaration of a command of the registry."""
    module = import_module(f"pipeline.commands.{name.replace('-', '_')}")
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
