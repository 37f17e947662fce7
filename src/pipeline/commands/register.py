"""The command ``register``: a version in MLflow's registry, behind a gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from pipeline.commands import trained
from pipeline.commands.command import NAME_PATTERN, Call, Command, ModelName, Options
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.runs.registration import Registration

REFUSED = 4  # as for `verify cmd=`: 1 and 2 are errors, 3 is a verdict


class RegisterOptions(Options):
    """Options of ``pipeline register``."""

    name: ModelName | None = Field(
        None, description="trained model; may be left out where there is only one"
    )
    alias: Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)] = Field(
        "champion", description="alias that points at one version; the model must be better than it"
    )
    into: Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)] | None = Field(
        None, description="registered model; without it the name of the model's data"
    )
    force: Annotated[str, Field(max_length=1000)] | None = Field(
        None, description="why the alias moves although the model is not better; is recorded"
    )

    @field_validator("force")
    @classmethod
    def _is_a_reason(cls, reason: str | None) -> str | None:
        if reason is not None and len(reason.split()) < 2:
            raise ConfigError(
                f"force={reason}: must say why in a few words, since it is recorded. For example "
                'force="it is ten times faster"'
            )
        return reason

    @field_validator("alias")
    @classmethod
    def _is_free(cls, alias: str) -> str:
        if alias.lower() == "latest" or (alias[:1].lower() == "v" and alias[1:].isdigit()):
            raise ConfigError(
                f"alias={alias}: MLflow keeps this word for itself. Choose another: alias=champion"
            )
        return alias


def run(call: Call[RegisterOptions]) -> int:
    """Register a model; return 4 where it is not better than the present holder of the alias."""
    from pipeline.config import compose
    from pipeline.runs.registration import register

    asked = call.options
    name = trained.the_one(asked.name, trained.models(call.root))
    done = register(
        name,
        into=asked.into,
        alias=asked.alias,
        force=asked.force,
        tracking=compose([f"name={name}"], root=call.root).settings.tracking,
        root=call.root,
    )
    for line in lines_of(name, done):
        print(line)
    return REFUSED if done.refused else 0


def lines_of(name: str, done: Registration) -> list[str]:
    """Return the printed lines of a registration."""
    accuracy = done.accuracy
    lines = [
        f"{name}: test accuracy {accuracy.value:.2%} [{accuracy.low:.2%}, {accuracy.high:.2%}], "
        f"{accuracy.n:,} images; its copy in MLflow differs by at most {done.difference:.1e}"
    ]
    if done.champion is not None and done.against is not None and done.outcome != "present":
        gap = done.against.difference
        lines.append(
            f"against {done.name} version {done.champion.number}: {gap.value:+.2%} "
            f"[{gap.low:+.2%}, {gap.high:+.2%}]; only it is right on {done.against.gained} images, "
            f"only the other on {done.against.lost} (McNemar p = {done.against.p_value:.2g})"
        )
    return [*lines, _end(done)]


def _end(done: Registration) -> str:
    place = f"models:/{done.name}@{done.alias}"
    if done.outcome == "present":
        return f"{place} is this model already: version {done.version.number}"
    if done.refused:
        return (
            f"refused: not better beyond noise, so {place} stays version {done.version.number}. "
            'To move it all the same: force="<why>"'
        )
    because = {"first": "the first one", "better": "better beyond noise", "forced": "forced"}
    return f"{place} is version {done.version.number} now: {because[done.outcome]}"


COMMAND = Command(
    options=RegisterOptions,
    run=run,
    examples=(
        "pipeline register name=cnn",
        "pipeline register name=cnn alias=champion into=digits",
        'pipeline register name=mlp force="ten times faster, and good enough"',
    ),
)
