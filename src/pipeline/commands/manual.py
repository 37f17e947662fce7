"""The page that ``pipeline <command> --help`` prints, derived from the command's declaration."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.commands.command import Command
from pipeline.commands.parse import keys_of, shown_default
from pipeline.commands.registry import REGISTRY
from pipeline.config.project import find_root
from pipeline.config.ranges import range_of
from pipeline.errors import ConfigError

WIDTH = 96


def manual(name: str, command: Command[Any]) -> str:
    """Return the help of one command: its options, what else it takes, and examples."""
    schemas = keys_of(command)
    parts = [f"{_usage(name, command)}\n  {REGISTRY[name].summary}"]
    if schemas:
        rows = [(_shown(key, command), _meaning(schema)) for key, schema in schemas.items()]
        parts.append(f"Options\n{table(rows)}")
    if command.flags:
        rows = [(flag.replace("=", " <word>"), text) for flag, text in command.flags.items()]
        parts.append(f"Flags\n{table(rows)}")
    if command.settings == "hydra":
        parts.append("It also takes hydra.<key>=<value>, for the runs that it starts.")
    if command.more is not None:
        parts.append(_more(command.more))
    parts.append("Examples\n" + "\n".join(f"  {line}" for line in command.examples))
    return "\n\n".join(part for part in parts if part) + "\n"


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return two columns: keys, and their meaning wrapped beside them."""
    listed = list(rows)
    width = min(max(len(key) for key, _ in listed), 32)
    lines: list[str] = []
    for key, text in listed:
        wrapped = textwrap.wrap(text, WIDTH - width - 4) or [""]
        head = f"  {key:<{width}}  "
        if len(key) > width:
            lines.append(f"  {key}")
            head = " " * (width + 4)
        lines.append((head + wrapped[0]).rstrip())
        lines += [" " * (width + 4) + line for line in wrapped[1:]]
    return "\n".join(lines)


def _usage(name: str, command: Command[Any]) -> str:
    words = ["pipeline", name]
    if command.positional:
        words.append(f"[<{command.positional}> …]")
    if command.settings == "training":
        words.append("[group=option] [key=value] …")
    elif keys_of(command):
        words.append("[key=value] …")
    return " ".join(words)


def _shown(key: str, command: Command[Any]) -> str:
    return f"<{key}> …" if key == command.positional else f"{key}="


def _meaning(schema: Mapping[str, Any]) -> str:
    """Return an option's meaning, its range, and its default."""
    default = schema.get("default")
    known = [range_of(schema).removesuffix(", or null")]
    if default not in (None, "", []):
        known.append(f"default {shown_default(default)}")
    return f"{schema['description']} ({'; '.join(known)})"


def _more(make: Any) -> str:
    """Return further help of a project's own; nothing outside of a project."""
    try:
        return str(make(find_root(Path.cwd())))
    except ConfigError:
        return ""
