"""The command ``verify``: prove a remedy over paired seeds, beside two controls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.commands.command import Call, Command
from pipeline.commands.trial_options import TrialOptions, patient_of, verification_options
from pipeline.commands.verify_cmd import EXIT_CODES, verify_any
from pipeline.errors import ConfigError

# Options that belong to ``cmd=``, and options that have no effect beside it.
_OF_CMD = ("metric", "metric_file", "goal", "scale", "timeout", "output")
_NOT_WITH_CMD = ("run", "budget", "storage")


class VerifyOptions(TrialOptions):
    """Options of ``pipeline verify``: of a run of this project, and of any command."""

    cmd: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="any command with {seed} and placeholders, instead of a run; no shell"
    )
    metric: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="of cmd: name of the number to compare, as the command writes it"
    )
    metric_file: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="of cmd: JSON, CSV, text or MLflow's mlflow.db that the command writes; "
        "without it the output, and the files in {out}",
    )
    goal: Literal["min", "max"] | None = Field(
        None, description="of cmd: without it min for a loss, an error, a perplexity, else max"
    )
    scale: Literal["ratio", "difference"] = Field(
        "ratio", description="of cmd: difference for a metric that can be 0 or less"
    )
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of cmd: most seconds of a run"
    )
    output: Literal["text", "json"] = Field("text", description="of cmd: form of the answer")

    @model_validator(mode="after")
    def _options_fit(self) -> VerifyOptions:
        given = self.model_fields_set
        if self.cmd is None:
            wrong = next((key for key in _OF_CMD if key in given), None)
            if wrong:
                raise ConfigError(
                    f'{wrong}: belongs to a command of your own. Add cmd="…", or leave it out.'
                )
            return self
        wrong = next((key for key in _NOT_WITH_CMD if key in given), None)
        if wrong:
            raise ConfigError(f"{wrong}: has no effect with cmd=. Leave one of the two out.")
        if self.metric is None:
            raise ConfigError(
                "metric: missing. Name the number that cmd writes, as in metric=val_loss"
            )
        return self


def run(call: Call[VerifyOptions]) -> int:
    """Train the arms, judge them, print the outcome."""
    if call.options.cmd is not None:
        return verify_any(call)

    from pipeline.launch import multirun
    from pipeline.reporting.verification_text import show_verification
    from pipeline.verification.verify import verify

    patient, options = patient_of(call.options, call.root), verification_options(call)
    found = verify(
        patient,
        options,
        root=call.root,
        run_sweep=lambda overrides: multirun(overrides, root=call.root),
    )
    if found is None:
        return EXIT_CODES["undecided"]  # a script that goes on with the proof has none
    show_verification(found)
    return 0


COMMAND = Command(
    options=VerifyOptions,
    run=run,
    settings="hydra",
    resumed=True,
    anywhere_with="cmd",
    examples=(
        "pipeline verify name=mlp",
        "pipeline verify name=mlp remedies=[dropout,augment] seeds=10 n_jobs=2",
        "pipeline verify run=<MLflow id> budget=60",
        'pipeline verify cmd="python train.py --l2 {l2} --seed {seed}" metric=loss '
        '"remedies={l2:[0,1e-4]}"',
    ),
)
