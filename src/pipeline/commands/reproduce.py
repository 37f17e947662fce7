"""The command ``reproduce``: train a recorded run again, and compare it to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, ModelName, Options, RunId, one_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.runs.reproduction import RecordedRun, Reproduction


class ReproduceOptions(Options):
    """Options of ``pipeline reproduce``."""

    name: ModelName | None = Field(
        None, description="model to train again; may be left out where there is only one"
    )
    run: RunId | None = Field(None, description="id of an MLflow run, instead of a name")


def run(call: Call[ReproduceOptions]) -> int:
    """Train a run again; return 1 where the weights differ."""
    from pipeline.config import compose
    from pipeline.runs.reproduction import recorded_model, recorded_run

    root, asked = call.root, call.options
    if one_of(asked, "name", "run", required=False) == "run" and asked.run:
        uri = compose([], root=root).settings.tracking.uri
        recorded = recorded_run(asked.run, uri=uri, root=root)
    else:
        recorded = recorded_model(trained.the_one(asked.name, trained.models(root)), root=root)
    return 0 if reproduce(recorded, root=root).same_weights else 1


def reproduce(recorded: RecordedRun, *, root: Path) -> Reproduction:
    """Train a run again as ``<name>_again`` and print the comparison; leave other models alone.

    Raises `DataError` where the prepared data is not the data of the run.
    """
    from pipeline.commands.train_job import train
    from pipeline.runs.reproduction import compare_with_record, config_again

    again = config_again(recorded, root=root)
    train(again, root=root, output=root)
    reproduction = compare_with_record(recorded, again, root=root)
    _print(reproduction)
    return reproduction


def _print(reproduction: Reproduction) -> None:
    if reproduction.same_weights:
        print(f"{reproduction.name}: reproduced; the weights are the same, bit for bit")
        return
    print(f"{reproduction.name}: not the same weights")
    for name, (then, now) in reproduction.differing.items():
        print(f"  {name}: {then!r} then, {now!r} now")
    for reason in reproduction.reasons:
        print(f"  different this time: {reason}")
    if not reproduction.reasons:
        print(
            "  settings, data, code and packages are as they were: "
            "the machine or its libraries differ"
        )


COMMAND = Command(
    options=ReproduceOptions,
    run=run,
    examples=("pipeline reproduce name=mlp", "pipeline reproduce run=<MLflow id>"),
    resumed=True,
)
