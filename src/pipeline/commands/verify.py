"""The command ``verify``: prove a remedy over paired seeds, beside two controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, Options, RunId, RunName, one_of

if TYPE_CHECKING:
    from pipeline.verification.patient import Patient
    from pipeline.verification.plan import VerificationOptions


class VerifyOptions(Options):
    """Options of ``pipeline verify``, and of ``pipeline heal``."""

    name: RunName | None = Field(
        None, description="run to mend; may be left out where only one is trained"
    )
    run: RunId | None = Field(None, description="id of an MLflow run to mend, instead of a name")
    remedies: tuple[str, ...] = Field(
        (), description="remedies to try; without it those that the diagnosis offers"
    )
    seeds: Annotated[int, Field(ge=3, le=1000)] = Field(
        5, description="paired seeds of each arm; more seeds show smaller gains"
    )
    budget: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most runs in all; without it those that four arms need"
    )
    storage: str | None = Field(
        None, description="URL of the studies' database; without it that of conf/"
    )
    n_jobs: Annotated[int, Field(ge=-1)] | None = Field(
        None, description="runs side by side; -1 for one a core"
    )


def run(call: Call[VerifyOptions]) -> None:
    """Train the arms, judge them, print the outcome."""
    from pipeline.launch import multirun
    from pipeline.reporting.verification_text import show_verification
    from pipeline.verification.verify import verify

    patient, options = patient_of(call.options, call.root), trial_options(call)
    found = verify(
        patient,
        options,
        root=call.root,
        run_sweep=lambda overrides: multirun(overrides, root=call.root),
    )
    if found:
        show_verification(found)


def patient_of(options: VerifyOptions, root: Path) -> Patient:
    """Return the run that the options name, with its diagnosis."""
    from pipeline.config import compose
    from pipeline.verification import patient

    if one_of(options, "name", "run", required=False) == "run" and options.run:
        uri = compose([], root=root).settings.tracking.uri
        return patient.patient_of_run(options.run, uri=uri, root=root)
    return patient.patient_of(trained.the_one(options.name, trained.results(root)), root=root)


def trial_options(call: Call[VerifyOptions]) -> VerificationOptions:
    """Return the plan of the trials, as the options and Hydra's settings ask for it."""
    from pipeline.config import sweep_options
    from pipeline.verification.plan import VerificationOptions

    asked = call.options
    jobs = () if asked.n_jobs is None else (f"n_jobs={asked.n_jobs}",)
    return VerificationOptions(
        storage=asked.storage or str(sweep_options([], root=call.root)["storage"]),
        remedies=asked.remedies,
        seeds=asked.seeds,
        budget=asked.budget,
        sweep=(*jobs, *call.settings),
    )


COMMAND = Command(
    options=VerifyOptions,
    run=run,
    settings="hydra",
    resumed=True,
    examples=(
        "pipeline verify name=mlp",
        "pipeline verify name=mlp remedies=[dropout,augment] seeds=10 n_jobs=2",
        "pipeline verify run=<MLflow id> budget=60",
    ),
)
