"""What ``verify`` and ``heal`` share: the run to mend, and the options of its paired trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Options, RunId, RunName, one_of

if TYPE_CHECKING:
    from pipeline.verification.patient import Patient
    from pipeline.verification.plan import VerificationOptions


class TrialOptions(Options):
    """Options of paired trials: those that ``verify`` and ``heal`` share."""

    name: RunName | None = Field(
        None, description="run to mend; may be left out where only one is trained"
    )
    run: RunId | None = Field(None, description="id of an MLflow run to mend, instead of a name")
    remedies: tuple[str, ...] = Field(
        (), description="remedies to try; without it those that the diagnosis offers"
    )
    stop: Literal["early", "fixed"] | None = Field(
        None,
        description="fixed trains all seeds of every remedy, the default for a run of the project; "
        "early adds one pair of runs at a time until the evidence decides, seeds at most, the "
        "default with cmd=",
    )
    seeds: Annotated[int, Field(ge=3, le=1000)] = Field(
        5,
        description="paired seeds of each remedy; more seeds show smaller gains; with stop=early "
        "at most, without it 10 (20 with cmd=)",
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


def patient_of(options: TrialOptions, root: Path) -> Patient:
    """Return the run that the options name, with its diagnosis."""
    from pipeline.config import compose
    from pipeline.verification import patient

    if one_of(options, "name", "run", required=False) == "run" and options.run:
        uri = compose([], root=root).settings.tracking.uri
        return patient.patient_of_run(options.run, uri=uri, root=root)
    return patient.patient_of(trained.the_one(options.name, trained.results(root)), root=root)


def verification_options(call: Call[TrialOptions]) -> VerificationOptions:
    """Return the plan of the trials, as the options and Hydra's settings ask for it."""
    from pipeline.config import sweep_options
    from pipeline.verification.early import MOST_SEEDS
    from pipeline.verification.plan import VerificationOptions

    asked, early = call.options, call.options.stop == "early"
    jobs = () if asked.n_jobs is None else (f"n_jobs={asked.n_jobs}",)
    return VerificationOptions(
        storage=asked.storage or str(sweep_options([], root=call.root)["storage"]),
        remedies=asked.remedies,
        seeds=MOST_SEEDS if early and "seeds" not in asked.model_fields_set else asked.seeds,
        budget=asked.budget,
        sweep=(*jobs, *call.settings),
        stop="early" if early else "fixed",
    )
