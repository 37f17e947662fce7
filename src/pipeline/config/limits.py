"""Limits on the text of a YAML file or an override, checked before a parser expands it.

A few hundred bytes of YAML can name a list of a billion items, and a few references can double a
text for ever. So the size after expansion is counted first, from the parser's events alone.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.errors import ConfigError

MAX_FILE_BYTES = 65_536
MAX_ITEMS, MAX_CHARACTERS = 5_000, 500_000  # of one file, once its aliases are expanded
MAX_DEPTH = 30
MAX_OVERRIDE = 20_000  # characters
MAX_REFERENCES, MAX_REFERENCE_TEXT, MAX_REFERENCE_DEPTH = 20, 2_000, 4  # ``${…}`` in one value

_PLAIN_TAGS = {f"tag:yaml.org,2002:{n}" for n in ("str", "int", "float", "bool", "null")}
_PLAIN_TAGS |= {f"tag:yaml.org,2002:{n}" for n in ("seq", "map")} | {"!"}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser is ten times faster


def read_yaml_text(path: Path, *, mapping: bool = True) -> str:
    """Return the text of a YAML file whose content is within the limits.

    mapping: whether its top must be one, as in every file of ``conf/``.
    Raises `ConfigError` for a file that is no regular file, is too large, is not UTF-8, grows
    beyond the limits, has a key twice in one mapping, or names a Python object in a tag.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{path}: is no regular file. Put a YAML file in its place.")
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB, the limit of a file of conf/. "
            "Shorten it, or split it into several options."
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error}. Save it as UTF-8.") from error
    check_yaml(text, where=str(path), mapping=mapping)
    return text


def check_yaml(text: str, *, where: str, mapping: bool = True) -> None:
    """Raise `ConfigError` where the text breaks a limit; nothing is expanded.

    where: the file, for the message.  Text that is no YAML passes: its parser says what is wrong.
    """
    walk = _Walk(where, mapping=mapping)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            walk.take(event)
    except yaml.YAMLError as error:
        raise no_yaml(where, error) from error


def no_yaml(where: str, error: Exception) -> ConfigError:
    """Return the error for a file that a YAML parser refuses."""
    told = " ".join(str(error).split())
    return ConfigError(f"{where}: is not valid YAML: {told}. Mend it at that line.")


def check_override(text: str) -> None:
    """Raise `ConfigError` for an override that is too long, too deep, or full of references."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    if len(text) > MAX_OVERRIDE:
        raise ConfigError(
            f"{shown}: has {len(text)} characters, the limit is {MAX_OVERRIDE}. "
            "Write it into a file of conf/."
        )
    depth = deepest = 0
    for sign in text:
        depth += (sign in "[{(") - (sign in "]})")
        deepest = max(deepest, depth)
    deepest = max(deepest, text.partition("=")[0].count("."))
    if deepest > MAX_DEPTH:
        raise ConfigError(
            f"{shown}: is nested {deepest} deep, the limit is {MAX_DEPTH}. Flatten it."
        )
    check_references_in(text, where=shown)


def check_references_in(text: str, *, where: str) -> None:
    """Raise `ConfigError` for a value with too many, too long or too deeply nested ``${…}``."""
    opened = text.count("${")
    if not opened:
        return
    if opened > MAX_REFERENCES or len(text) > MAX_REFERENCE_TEXT:
        raise ConfigError(
            f"{where}: has {opened} references ${{...}} in {len(text)} characters; the limits are "
            f"{MAX_REFERENCES} and {MAX_REFERENCE_TEXT}. Write the value itself."
        )
    depth = deepest = 0
    for token in re.findall(r"\$\{|\{|\}", text):
        depth += -1 if token == "}" else 1
        deepest = max(deepest, depth)
    if deepest > MAX_REFERENCE_DEPTH:
        raise ConfigError(
            f"{where}: nests references ${{...}} {deepest} deep, the limit is "
            f"{MAX_REFERENCE_DEPTH}. Write the value itself."
        )


@dataclass
class _Node:
    """A mapping or a list that is open: its expanded size so far, and the keys of a mapping."""

    anchor: str | None
    mapping: bool
    items: int = 1
    characters: int = 0
    keys: set[str] = field(default_factory=set)
    num_children: int = 0


class _Walk:
    """Counts what a YAML text becomes, event by event; raises `ConfigError` beyond a limit."""

    def __init__(self, where: str, *, mapping: bool) -> None:
        self.where, self.mapping = where, mapping
        self.open: list[_Node] = []
        self.sizes: dict[str, tuple[int, int]] = {}  # anchor → items and characters
        self.num_documents = 0

    def take(self, event: yaml.Event) -> None:
        """Count one event of the parser."""
        self.check_tag(event)
        self.check_top(event)
        if isinstance(event, yaml.ScalarEvent):
            self.check_key(event)
            check_references_in(event.value, where=f"{self.where}, line {_line(event)}")
            self.close(event.anchor, 1, len(event.value), event)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.sizes:
                self.refuse(event, f"*{event.anchor} stands for itself or for nothing")
            self.close(None, *self.sizes[event.anchor], event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open.append(_Node(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(self.open) > MAX_DEPTH:
                self.refuse(event, f"is nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self.open.pop()
            self.close(node.anchor, node.items, node.characters, event)

    def check_top(self, event: yaml.Event) -> None:
        """Refuse a second document, and a document that is no mapping."""
        self.num_documents += isinstance(event, yaml.DocumentStartEvent)
        if self.num_documents > 1:
            self.refuse(event, "begins a second document, and a file holds one")
        if self.open or not self.mapping:
            return
        if isinstance(event, yaml.SequenceStartEvent):
            self.refuse(event, "holds a list, and a file holds keys with values")
        text = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if text not in ("", "null", "~"):
            self.refuse(event, f"holds the text {text[:40]!r}, and a file holds keys with values")

    def check_key(self, event: yaml.ScalarEvent) -> None:
        """Refuse a key that its mapping has already."""
        mapping = self.open[-1] if self.open and self.open[-1].mapping else None
        if mapping is None or mapping.num_children % 2:
            return
        if event.value in mapping.keys and event.value != "<<":
            self.refuse(event, f"has the key {event.value} twice in one mapping")
        mapping.keys.add(event.value)

    def check_tag(self, event: yaml.Event) -> None:
        """Refuse a tag that is not of plain YAML, such as ``!!python/object``."""
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _PLAIN_TAGS:
            name = tag.replace("tag:yaml.org,2002:", "!!")
            self.refuse(event, f"has the tag {name}, and only plain YAML is read")

    def close(self, anchor: str | None, items: int, characters: int, event: yaml.Event) -> None:
        """Add a finished node to the one that holds it, and note its size under its anchor."""
        if anchor is not None:
            self.sizes[anchor] = (items, characters)
        if not self.open:
            return
        holder = self.open[-1]
        holder.items += items
        holder.characters += characters
        holder.num_children += 1
        if holder.items > MAX_ITEMS or holder.characters > MAX_CHARACTERS:
            self.refuse(
                event,
                f"grows beyond {MAX_ITEMS} items or {MAX_CHARACTERS} characters once its aliases "
                "(*name) are expanded",
            )

    def refuse(self, event: yaml.Event, what: str) -> None:
        """Raise the error that names file and line."""
        raise ConfigError(f"{self.where}, line {_line(event)}: {what}. Mend it at that line.")


def check_overrides(overrides: Sequence[str]) -> None:
    """Apply `check_override` to each."""
    for text in overrides:
        check_override(text)


def _line(event: yaml.Event) -> int:
    return int(event.start_mark.line) + 1
