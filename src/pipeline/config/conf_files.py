"""The files of ``conf/`` read without Hydra: groups, options, and the dotted keys they give.

It is a quick look for help and completion. A training is composed by Hydra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from pipeline.config.limits import read_yaml_text
from pipeline.config.project import CONFIG_NAME, groups_of, options_of
from pipeline.config.schema import Section, Settings
from pipeline.config.validate import schema_of
from pipeline.errors import ConfigError


def chosen_options(settings: Sequence[str], *, root: Path) -> dict[str, str]:
    """Return the option of each group: the default of ``conf/``, or the last that is set."""
    chosen = dict(_defaults(read(root / "conf" / f"{CONFIG_NAME}.yaml")))
    for setting in settings:
        group, _, option = setting.partition("=")
        if option in options_of(group, root):
            chosen[group] = option
    return chosen


def sections_of(settings: Sequence[str], *, root: Path) -> dict[str, Mapping[str, Any]]:
    """Return the values of each section under the chosen options.

    Those of no section stand under ``""``.
    """
    top = read(root / "conf" / f"{CONFIG_NAME}.yaml")
    found: dict[str, Mapping[str, Any]] = {
        "": {k: v for k, v in top.items() if k not in ("defaults", "hydra")}
    }
    for group, option in chosen_options(settings, root=root).items():
        section = _package(root / "conf" / group / f"{option}.yaml") or group
        if section in Settings.model_fields:
            found[section] = {**found.get(section, {}), **option_values(group, option, root)}
    return found


def _package(path: Path) -> str:
    """Return the section that an option's file sets, where it is not named like its group."""
    match = re.match(r"# @package (\w+)", path.read_text()) if path.is_file() else None
    return match[1] if match else ""


def keys_with_schemas(sections: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each dotted key with its value in ``conf/`` and the JSON schema of its values."""
    for section, node in sections.items():
        properties = _properties(section, node)
        for key, value in node.items():
            dotted = f"{section}.{key}" if section else key
            if key in properties and not key.startswith("_"):
                yield dotted, value, properties[key]


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty one for a file that is missing or no mapping."""
    try:
        found = yaml.safe_load(read_yaml_text(path))
    except (OSError, ConfigError, yaml.YAMLError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _defaults(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for item in content.get("defaults", []):
        if isinstance(item, dict):
            yield from (
                (group, option)
                for group, option in item.items()
                if option and not group.startswith("override ")
            )


def option_values(group: str, option: str, root: Path) -> dict[str, Any]:
    """Return the values of an option, with those of the options that it builds on."""
    content = read(root / "conf" / group / f"{option}.yaml")
    values: dict[str, Any] = {}
    for item in content.pop("defaults", []):
        if isinstance(item, str) and item != "_self_":
            values |= option_values(group, item, root)
    return values | content


def _properties(section: str, node: Mapping[str, Any]) -> dict[str, Any]:
    if section in ("augment", "model", "activation", "loss", "optimizer", "data"):
        return _schema(schema_of(section, node)).get("properties", {})
    if not section:
        return _schema(Settings)["properties"]
    whole = _schema(TypeAdapter(Settings.model_fields[section].rebuild_annotation()))
    kinds = [whole] if "properties" in whole else list(whole.get("$defs", {}).values())
    name = node.get("name")
    for kind in kinds:
        tags = kind["properties"].get("name", {})
        if name is None or name in tags.get("enum", [tags.get("const")]):
            return dict(kind["properties"])
    return {}


def _schema(kind: type[Section] | TypeAdapter[Any]) -> dict[str, Any]:
    if isinstance(kind, TypeAdapter):
        return kind.json_schema(by_alias=False)
    return kind.model_json_schema(by_alias=False)


def group_table(root: Path) -> list[tuple[str, str]]:
    """Return each group with its options; the default option stands first."""
    chosen = chosen_options([], root=root)
    rows = []
    for group in groups_of(root):
        options = options_of(group, root)
        first = [option for option in options if option == chosen.get(group)]
        rest = [option for option in options if option not in first and "/" not in option]
        rows.append((f"{group}=", " ".join([*first, *rest])))
    return rows
