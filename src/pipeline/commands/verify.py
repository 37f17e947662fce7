"""The command ``verify``: prove a remedy over paired seeds, beside two controls."""

from __future__ import annotations

from pydantic import model_validator

from pipeline.commands.command import Call, Command
from pipeline.commands.trial_options import patient_of, verification_options
from pipeline.commands.verify_cmd import EXIT_CODES, CommandOptions, check, verify_any


class VerifyOptions(CommandOptions):
    """Options of ``pipeline verify``."""

    @model_validator(mode="after")
    def _options_fit(self) -> VerifyOptions:
        check(self)
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
