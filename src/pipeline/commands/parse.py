"""One parser for all commands: from typed words to a `Call`, or one message with every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from pipeline.commands.command import Call, Command, Options
from pipeline.config.project import from_root
from pipeline.config.ranges import range_of
from pipeline.config.schema import PATHS, Settings
from pipeline.config.words import nearest
from pipeline.errors import ConfigError

Given = TypeVar("Given", bound=Options)
# Settings of a training that are no sections of their own: ``seed=`` may be meant as ``seeds=``.
_SCALARS = ("name", "seed", "allow_targets", "objective", "initial_weights")
_NUMBERS = {
    "integer": r"[+-]?\d+",
    "number": r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?",
}


def parse(
    name: str, command: Command[Given], words: Sequence[str], *, here: Path, root: Path
) -> Call[Given]:
    """Read the words after a command's name.

    here: where the person stands; paths that are typed stay relative to it.  root: of the project.
    Raises `ConfigError` for an unknown option or flag, and for a value outside its range.
    """
    _check_spaces(words)
    given: dict[str, list[str]] = {}
    settings: list[str] = []
    flags: list[str] = []
    iterator = iter(words)
    for word in iterator:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            flags += _flag(name, command, word, iterator)
        elif equals and key in keys_of(command) and not _is_file(command, word, here):
            given.setdefault(key, []).append(value)
        elif _is_setting(command, key, equals):
            if not equals and not word.startswith("~"):
                raise ConfigError(f"{word}: is no setting. Write {word}=<value>")
            settings.append(_seen_from_root(word, here, root))
        elif command.positional and (not equals or "/" in key or _is_file(command, word, here)):
            given.setdefault(command.positional, []).append(word)
        else:
            trains = command.settings == "hydra" and command.needs_project(words)
            raise ConfigError(_unknown(name, command, word, trains=trains))
    options = _validated(name, command, given)
    return Call(_rebased(options, here, root), tuple(settings), tuple(flags), root)


def keys_of(command: Command[Any]) -> dict[str, dict[str, Any]]:
    """Return each option's key with its JSON schema."""
    properties: dict[str, dict[str, Any]] = command.options.model_json_schema()["properties"]
    return properties


def _check_spaces(words: Sequence[str]) -> None:
    """Raise `ConfigError` for ``model = cnn``, ``model= cnn`` and ``model =cnn``."""
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        before = words[place - 1] if place else ""
        if word == "=" or (word.startswith("=") and before):
            typed = f"{before} {word} {after}" if word == "=" else f"{before} {word}"
        elif word.endswith("=") and after and not after.startswith("-") and "=" not in after:
            typed = f"{word} {after}"
        else:
            continue
        joined = typed.replace(" ", "")
        raise ConfigError(f"{typed.strip()}: has spaces around '='. Write {joined}")


def _flag(name: str, command: Command[Any], word: str, rest: Iterator[str]) -> list[str]:
    known = [flag.rstrip("=") for flag in command.flags]
    flag = word.partition("=")[0]
    if flag not in known:
        if word in ("-m", "--multirun"):
            raise ConfigError(f"{name} {word}: only train runs many times. Leave {word} out.")
        raise ConfigError(
            f"{word}: unknown flag of {name}. Settings are key=value; see pipeline {name} --help"
        )
    takes_value = f"{flag}=" in command.flags and "=" not in word
    value = next(rest, None) if takes_value else None
    return [word] if value is None else [word, value]


def _is_file(command: Command[Any], word: str, here: Path) -> bool:
    """Whether a word with ``=`` is the name of a file, where the command takes files."""
    try:
        return command.positional is not None and (here / word).exists()
    except OSError:  # no file has so long a name
        return False


def _is_setting(command: Command[Any], key: str, equals: str) -> bool:
    if command.settings == "training":
        return True
    return command.settings == "hydra" and bool(equals) and key.startswith(("hydra.", "hydra/"))


def _unknown(name: str, command: Command[Any], word: str, *, trains: bool) -> str:
    """Return the message on a word. trains: whether the command trains a run again."""
    key, equals, _ = word.partition("=")
    known = [f"{option}=" for option in keys_of(command)]
    if not equals and key in keys_of(command):
        return f"{word}: has no value. Write {word}=<value>"
    if trains and _is_of_training(key):
        return (
            f"{word}: {name} trains its runs with the settings of the run that it mends, so that "
            "only the remedy differs. To have other settings, train that run again with them: "
            f"pipeline train name=<name> … {word}"
        )
    if not known:
        return f"{word}: {name} takes no options. Leave it out."
    return f"{word}: unknown option of {name}{nearest(f'{key}=', known)}"


def _is_of_training(key: str) -> bool:
    """Whether a key, such as ``trainer.num_threads`` or ``model``, is one of a training."""
    section, *rest = key.lstrip("+~").replace("/", ".").split(".")
    field = Settings.model_fields.get(section)
    return section in ("experiment", "sweep", "debug") or (
        field is not None and (bool(rest) or section not in _SCALARS)
    )


def _validated(name: str, command: Command[Given], given: Mapping[str, Sequence[str]]) -> Given:
    schemas = keys_of(command)
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for key, texts in given.items():
        if key == command.positional and "array" in _kinds(schemas[key]):
            values[key] = tuple(texts)
        elif len(texts) > 1:
            mistakes.append(f"{key}={texts[1]}: {key} is given twice. Leave one of them out.")
        elif not _is_plain_number(texts[0], schemas[key]):
            rule, way_out = _rule(schemas[key]), _way_out(key, schemas[key], command)
            mistakes.append(f"{key}={texts[0]}: {rule} {way_out}")
        elif texts[0] in ("", "[]"):
            rule = f"{_rule(schemas[key])} {_way_out(key, schemas[key], command)}"
            mistakes.append(f"{key}={texts[0]}: has no value, and {rule}")
        else:
            values[key] = _read(texts[0], schemas[key])
    try:
        options = command.options.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            mistakes.append(_mistake(name, item, given, schemas, command))
        raise ConfigError("\n".join(dict.fromkeys(mistakes))) from error
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return options


def _is_plain_number(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether a number is typed as one: not ``5.0`` for a whole one, not ``1_0``, not ``inf``."""
    kinds = set(_kinds(schema)) - {"null"}
    if text in ("", "[]", "null") or not kinds or not kinds <= set(_NUMBERS):
        return True
    return any(re.fullmatch(_NUMBERS[kind], text, re.ASCII) for kind in kinds)


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """Return a typed value as pydantic takes it: a list in brackets or with commas, a word.

    Where a number is possible too, ``5`` is no list.
    """
    kinds = _kinds(schema)
    if text == "null" and "null" in kinds:
        return None
    if "integer" in kinds and re.fullmatch(_NUMBERS["integer"], text, re.ASCII):
        return text
    if "array" in kinds:
        inner = text.removeprefix("[").removesuffix("]")
        return tuple(part.strip() for part in inner.split(",") if part.strip())
    if kinds == ["boolean"]:
        return {"true": True, "false": False}.get(text.lower())
    return text


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    return [str(branch.get("type")) for branch in schema.get("anyOf", [schema])]


def _mistake(
    name: str,
    item: Any,
    given: Mapping[str, Sequence[str]],
    schemas: Mapping[str, Mapping[str, Any]],
    command: Command[Any],
) -> str:
    key = str(item["loc"][0])
    schema = schemas[key]
    if item["type"] == "missing":
        example = command.examples[0]
        return f"{key}: missing. {schema['description'].capitalize()}. For example: {example}"
    listed = schema.get("items", schema).get("enum")
    typed = ",".join(given.get(key, [str(item["input"])]))
    if listed and isinstance(item["input"], str):
        return f"{key}={typed}: unknown{nearest(item['input'], map(str, listed))}"
    return f"{key}={typed}: {_rule(schema)} {_way_out(key, schema, command)}"


def _rule(schema: Mapping[str, Any]) -> str:
    wanted = range_of(schema)
    noun = wanted.split(" ")[0].rstrip(",") in ("whole", "number", "name", "path", "text")
    return f"must be {'a ' if noun else ''}{wanted.replace('|', ' or ')}."


def _way_out(key: str, schema: Mapping[str, Any], command: Command[Any]) -> str:
    default = schema.get("default")
    if default in (None, "", []):
        examples = [line for line in command.examples if f" {key}=" in line]
        return f"For example: {examples[0]}" if examples else "Leave it out, or correct it."
    return f"Leave it out for {shown_default(default)}."


def shown_default(value: Any) -> str:
    """Return a default as a person would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value)


def _seen_from_root(setting: str, here: Path, root: Path) -> str:
    key, equals, value = setting.partition("=")
    if not equals or key.lstrip("+") not in PATHS or value in ("", "null"):
        return setting
    # Hydra's grammar may need quotes around a path; they are no part of it.
    quote = value[0] if value[0] in "'\"" and value[0] == value[-1] else ""
    path = from_root(value.strip(quote) if quote else value, here=here, root=root)
    return f"{key}={quote}{path}{quote}"


def _rebased(options: Given, here: Path, root: Path) -> Given:
    """Return the options with their paths as seen from the root."""
    changed: dict[str, Any] = {}
    for key in type(options).model_fields:
        value = getattr(options, key)
        if isinstance(value, Path) and value != Path("-"):  # standard input has no folder
            changed[key] = Path(from_root(str(value), here=here, root=root))
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changed[key] = tuple(Path(from_root(str(p), here=here, root=root)) for p in value)
    return options.model_copy(update=changed) if changed and here != root else options
