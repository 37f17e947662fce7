"""The command ``diagnose``: the verdict on a run, with evidence and remedies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipeline.commands import fail_on as failing
from pipeline.commands import trained
from pipeline.commands.columns import COLUMNS, Column, column, named
from pipeline.commands.command import Call, Command, Options, RunId, RunName, one_of
from pipeline.commands.diagnose_sources import (
    diagnose_log,
    diagnose_model,
    diagnose_tracked,
    diagnose_with_probes,
)
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.diagnosis import Diagnosis


class DiagnoseOptions(Options):
    """Options of ``pipeline diagnose``: one of name, run and history, and its details."""

    name: RunName | None = Field(
        None, description="trained run; may be left out where there is only one"
    )
    run: RunId | None = Field(None, description="id of an MLflow run, instead of a name")
    history: Path | None = Field(
        None,
        description="curves of any training: a log, a table, JSON, the folder of a run; "
        "- reads standard input",
    )
    signals: Path | None = Field(
        None,
        description="file that Signals() wrote in any project, alone or beside history=",
    )
    train_loss: Column | None = column("training loss")
    val_loss: Column | None = column("validation loss")
    train_accuracy: Column | None = column("training accuracy")
    val_accuracy: Column | None = column("validation accuracy")
    learning_rate: Column | None = column("learning rate")
    num_classes: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="classes of the data of run= or history=, where the file has no such number",
    )
    output: Literal["text", "json"] = Field("text", description="form of the answer")
    fail_on: failing.FailOn = Field((), description=failing.FAIL_ON)
    fail_from: failing.Confidence = Field(0.5, description=failing.FAIL_FROM)
    probe: bool = Field(
        False, description="settle open questions by short runs from the model's weights"
    )
    probe_epochs: Annotated[int, Field(ge=1)] | None = Field(
        None, description="length of a short run; without it a quarter of the training"
    )

    @model_validator(mode="after")
    def _probes_need_a_model(self) -> DiagnoseOptions:
        if self.probe_epochs is not None and not self.probe:
            raise ConfigError(
                f"probe_epochs={self.probe_epochs}: has no effect without probe=true. "
                "Leave it out, or add probe=true."
            )
        source = one_of(self, "name", "run", "history", required=False)
        if self.signals and source in ("name", "run"):
            raise ConfigError(
                f"signals={self.signals}: belongs to a training of another project, and a {source} "
                "has its own signals. Leave one of both out."
            )
        source = source or ("signals" if self.signals else None)
        if self.probe and source in ("run", "history", "signals"):
            raise ConfigError(
                f"{source}={getattr(self, source)}: short runs start from weights, which only a "
                "model of this project has. Use name=<model>, or leave probe=true out."
            )
        return self

    @model_validator(mode="after")
    def _columns_need_a_history(self) -> DiagnoseOptions:
        given = next((option for option in COLUMNS if getattr(self, option)), None)
        if given and self.history is None:
            raise ConfigError(
                f"{given}={getattr(self, given)}: names a column of a log, so it has no effect "
                "without history=<file>. Leave it out, or add history=<file>."
            )
        return self

    @model_validator(mode="after")
    def _classes_are_of_other_data(self) -> DiagnoseOptions:
        if self.num_classes is not None and self.run is None and self.history is None:
            raise ConfigError(
                f"num_classes={self.num_classes}: has no effect without run= or history=: the rest "
                "knows its classes. Leave it out."
            )
        return self

    @model_validator(mode="after")
    def _a_failure_is_a_fault(self) -> DiagnoseOptions:
        failing.check(self.fail_on, self)
        return self


def run(call: Call[DiagnoseOptions]) -> int:
    """Diagnose a run of this project, a run of MLflow, or the log of any training."""
    asked = call.options
    diagnosis = _diagnosed(asked, call.root)
    what = f"{diagnosis.name}: {diagnosis.in_words}"
    sure = failing.certain(diagnosis)
    return failing.exit_code(sure, asked.fail_on, asked.fail_from, what=what)


def _diagnosed(asked: DiagnoseOptions, root: Path) -> Diagnosis:
    if asked.history or asked.signals:
        return diagnose_log(
            asked.history,
            signals=asked.signals,
            columns=named(asked),
            num_classes=asked.num_classes,
            root=root,
            output=asked.output,
        )
    if asked.run:
        from pipeline.config import compose

        uri = compose([], root=root).settings.tracking.uri
        return diagnose_tracked(
            asked.run, num_classes=asked.num_classes, uri=uri, root=root, output=asked.output
        )
    name = trained.the_one(asked.name, trained.results(root))
    if asked.probe:
        return diagnose_with_probes(name, root=root, epochs=asked.probe_epochs, output=asked.output)
    return diagnose_model(name, root=root, output=asked.output)


COMMAND = Command(
    options=DiagnoseOptions,
    run=run,
    examples=(
        "pipeline diagnose name=mlp",
        "pipeline diagnose name=mlp probe=true",
        "pipeline diagnose history=training_log.csv num_classes=10 output=json",
        "pipeline diagnose signals=lightning_logs/signals/signals.safetensors",
        "pipeline diagnose history=training_log.csv fail_on=overfitting fail_from=0.8",
        "pipeline diagnose history=- train_loss=my_loss < output.txt",
    ),
)
