"""The command ``heal``: diagnose, verify, adopt the confirmed remedy, again until healthy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.commands.command import Call, Command
from pipeline.commands.trial_options import TrialOptions, patient_of, verification_options


class HealOptions(TrialOptions):
    """Options of ``pipeline heal``: those of ``verify``, and the rounds."""

    rounds: Annotated[int, Field(ge=1)] = Field(
        3, description="most rounds; each adopts one remedy"
    )


def run(call: Call[HealOptions]) -> None:
    """Mend a run round by round, print how it ended."""
    from pipeline.launch import multirun
    from pipeline.reporting.verification_text import show_healing
    from pipeline.verification.healing import heal

    healing = heal(
        patient_of(call.options, call.root),
        verification_options(call),
        root=call.root,
        run_sweep=lambda overrides: multirun(overrides, root=call.root),
        rounds=call.options.rounds,
    )
    show_healing(healing)


COMMAND = Command(
    options=HealOptions,
    run=run,
    settings="hydra",
    resumed=True,
    examples=("pipeline heal name=mlp", "pipeline heal name=mlp rounds=2 n_jobs=2"),
)
