"""How a command is declared: its options as a model, what else it takes, and its function.

A file of ``commands/`` imports the rooms inside its function. So ``--help`` and the shell's
completion of its options stay fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ConfigError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _name(complete: str) -> Any:
    """Return the field of a name that the shell completes from models, results or studies."""
    return Field(pattern=NAME_PATTERN, max_length=100, json_schema_extra={"complete": complete})


ModelName = Annotated[str, _name("models")]
RunName = Annotated[str, _name("results")]
StudyName = Annotated[str, Field(json_schema_extra={"complete": "studies"})]
RunId = Annotated[str, Field(min_length=1)]


class Options(BaseModel):
    """The options of a command: each has a type, a range, a default and a description."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class NoOptions(Options):
    """A command that has no options of its own."""


Given = TypeVar("Given", bound=Options)
Given_co = TypeVar("Given_co", bound=Options, covariant=True)


@dataclass(frozen=True)
class Call(Generic[Given_co]):
    """A command line that has been read.

    settings: in Hydra's grammar.  flags: as typed, each followed by its value if it takes one.
    root: of the project, which is the working directory too.
    """

    options: Given_co
    settings: tuple[str, ...]
    flags: tuple[str, ...]
    root: Path


@dataclass(frozen=True)
class Command(Generic[Given]):
    """A command's declaration. Its name and its line of help stand in the registry.

    settings: whether it takes the settings of a training, or those of Hydra (``hydra.…``) only.
    positional: the option that takes words without ``=``.  flags: name → meaning; a name that
    ends with ``=`` takes the next word as its value.  in_project: False for a command that works
    anywhere.  anywhere_with: option that makes it work anywhere.  resumed: an interrupted command
    goes on where it was.  more: further help, made when it is asked for.
    """

    options: type[Given]
    run: Callable[[Call[Given]], int | None]
    examples: tuple[str, ...]
    settings: Literal["none", "training", "hydra"] = "none"
    positional: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    in_project: bool = True
    anywhere_with: str | None = None
    resumed: bool = False
    more: Callable[[Path], str] | None = None

    def needs_project(self, words: Sequence[str]) -> bool:
        """Return whether the command must run inside a project. words: those after its name."""
        anywhere = f"{self.anywhere_with}="
        return self.in_project and not any(word.startswith(anywhere) for word in words)


def one_of(options: Options, *keys: str, required: bool = True) -> str | None:
    """Return which of several options was given: at most one, and at least one where required.

    Raises `ConfigError` otherwise.
    """
    given = [key for key in keys if getattr(options, key) not in (None, (), "")]
    known = ", ".join(f"{key}=" for key in keys)
    if len(given) > 1:
        value: Any = getattr(options, given[1])
        shown = f"[{','.join(value)}]" if isinstance(value, tuple) else value
        raise ConfigError(f"{given[1]}={shown}: give only one of {known}. Leave the others out.")
    if not given and required:
        raise ConfigError(f"{keys[0]}: missing. Give one of {known}")
    return given[0] if given else None
