"""The command ``completion``: words that the shell offers after ``pipeline …`` and the Tab key.

The shell calls ``pipeline completion words=<shell> …``; it reads the declared options and the files
of ``conf/``, and loads neither torch nor Hydra.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.commands import trained
from pipeline.commands.command import Call, Command, Options
from pipeline.commands.parse import keys_of
from pipeline.commands.registry import REGISTRY, load
from pipeline.config.project import find_root, groups_of, options_of
from pipeline.config.ranges import values_of
from pipeline.errors import ConfigError

# `=` breaks words in bash, so that only the part after it is replaced.
BASH = """\
_pipeline() {
    local line="${COMP_LINE:0:$COMP_POINT}" current="${COMP_WORDS[COMP_CWORD]}" prefix=""
    [[ $current == "=" ]] && current=""
    local typed="${line##* }"
    [[ $typed == *[=:]* ]] && prefix="${typed%"$current"}"
    local IFS=$'\\n'
    COMPREPLY=($(pipeline completion "words=$line" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} != *= ]] && COMPREPLY=("${COMPREPLY[0]} ")
}
complete -o nospace -o default -F _pipeline pipeline
"""
ZSH = """\
autoload -Uz compinit && (( ${+functions[compdef]} )) || { autoload -Uz compinit; compinit -u }
_pipeline() {
    local -a offered open closed
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    offered=(${(f)"$(pipeline completion "words=$line" 2>/dev/null)"})
    open=(${(M)offered:#*=}) closed=(${offered:#*=})
    (( $#open )) && compadd -S '' -- $open
    (( $#closed )) && compadd -- $closed
    (( $#offered )) && return
    compset -P '*='
    _files
}
compdef _pipeline pipeline
"""


class CompletionOptions(Options):
    """Options of ``pipeline completion``."""

    shell: Literal["bash", "zsh"] | None = Field(None, description="shell to print the script for")
    words: str | None = Field(
        None, description="a command line so far; prints what may follow (the shell calls this)"
    )


def run(call: Call[CompletionOptions]) -> None:
    """Print a shell's script, or the words that may end a line."""
    asked = call.options
    if asked.words is not None:
        print("\n".join(offered(asked.words, here=Path.cwd())))
    elif asked.shell is None:
        raise ConfigError('shell: missing. Write: eval "$(pipeline completion bash)", or zsh')
    else:
        print({"bash": BASH, "zsh": ZSH}[asked.shell], end="")


def offered(line: str, *, here: Path) -> list[str]:
    """Return the words that may stand in place of the last word of a line, sorted.

    A word that ends with ``=`` expects a value. A key that the line has already is not offered.
    """
    words = line.split(" ")[1:]
    typed, before = (words or [""])[-1], [word for word in words[:-1] if word]
    if not before:
        return _beginning(typed, REGISTRY)
    if before[0] not in REGISTRY:
        return []
    command = load(before[0])
    try:
        root: Path | None = find_root(here)
    except ConfigError:
        root = None
    found: list[str] = []
    if typed.startswith("-"):
        found += [*(flag.rstrip("=") for flag in command.flags), "--help"]
    else:
        found += _options(command, typed, root)
        if root and command.settings == "training":
            found += _settings(before[1:], typed, root)
    given = {word.partition("=")[0] for word in before}
    return _beginning(typed, (word for word in found if word.partition("=")[0] not in given))


def _beginning(typed: str, words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word.startswith(typed)})


def _options(command: Command[Any], typed: str, root: Path | None) -> list[str]:
    """Return the options of a command, or the values of the one that is typed."""
    schemas = keys_of(command)
    key, equals, value = typed.partition("=")
    if not equals:
        positional = schemas.get(command.positional or "", {})
        keys = [f"{name}=" for name in schemas if name != command.positional]
        return [*keys, *(value for value in values_of(positional) if value != "null")]
    schema = schemas.get(key, {})
    values = [value for value in values_of(schema) if value != "null"]
    if not values and root:
        values = _named(_source(schema), root)
    listed = any(part.get("type") == "array" for part in schema.get("anyOf", [schema]))
    begun = value.rpartition(",")[0] if listed else ""
    if listed:
        start = f"{begun}," if begun else "["
        chosen = begun.removeprefix("[").split(",")
        return [f"{key}={start}{name}" for name in values if name not in chosen]
    return [f"{key}={name}" for name in values]


def _source(schema: Mapping[str, Any]) -> str:
    parts = [schema, schema.get("items", {}), *schema.get("anyOf", [])]
    return next((part["complete"] for part in parts if "complete" in part), "")


def _named(source: str, root: Path) -> list[str]:
    """Return the names of a source: trained models, runs with results, or studies."""
    if source == "models":
        return trained.models(root)
    if source == "results":
        return trained.results(root)
    return _studies(root / "optuna.db") if source == "studies" else []


def _studies(database: Path) -> list[str]:
    """Return the studies of the project's own database; none where it cannot be read."""
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT study_name FROM studies").fetchall()
    except sqlite3.Error:
        return []
    return [str(name) for (name,) in rows]


def _settings(before: Sequence[str], typed: str, root: Path) -> list[str]:
    """Return groups, options of a group, settings, those of a sweep, or the values of a setting."""
    from pipeline.commands.settings_help import OF_A_SWEEP
    from pipeline.config.conf_files import keys_with_schemas, sections_of

    key, equals, _ = typed.partition("=")
    if key == "study_name" and equals:
        return [f"{key}={study}" for study in _named("studies", root)]
    if equals and key in groups_of(root):
        return [f"{key}={option}" for option in options_of(key, root)]
    known = list(keys_with_schemas(sections_of(before, root=root)))
    if equals:
        schemas = [schema for name, _, schema in known if name == key]
        return [f"{key}={value}" for schema in schemas for value in values_of(schema)]
    names = [*groups_of(root), *(name for name, _, _ in known)]
    return [*(f"{name}=" for name in names), *(name for name, _ in OF_A_SWEEP)]


COMMAND = Command(
    options=CompletionOptions,
    run=run,
    positional="shell",
    in_project=False,
    examples=('eval "$(pipeline completion bash)"', 'eval "$(pipeline completion zsh)"'),
)
