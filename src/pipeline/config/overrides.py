"""Overrides of a run: from its resolved values back to them, and two lists of them made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.compose import composed_values, flat

# Groups whose option stands in the resolved values as their name.
_NAMED_GROUPS = ("data", "augment", "model", "activation", "init", "loss", "optimizer", "schedule")


def overrides_of(values: Mapping[str, Any], *, root: Path) -> list[str]:
    """Return overrides that compose to these resolved values: a group's option first, then what differs.

    values: as recorded with a model or a run. Keys whose default is the same value are left out.
    Values that ``conf/`` has no key for are left out.
    """
    standard = _defaults(root)
    chosen = {group: values[group]["name"] for group in _NAMED_GROUPS}
    groups = [
        f"{group}={option}"
        for group, option in chosen.items()
        if standard.get(group) != option and (root / "conf" / group / f"{option}.yaml").is_file()
    ]
    # Unchecked: an option alone may lack a value or contradict another that the run has.
    given, wanted = composed_values(groups, root=root), flat(values)
    derived = "" if given["name"] == wanted["name"] else f"name={wanted['name']}"
    changed = [
        f"{key}={_text(value)}"
        for key, value in wanted.items()
        if key != "name" and key in given and given[key] != value
    ]
    return [*([derived] if derived else []), *groups, *changed]


def merge(base: Sequence[str], extra: Sequence[str], *, root: Path) -> list[str]:
    """Return both lists as one: each key once, with its last value.

    Another option of a group drops the values that were set for the old one, but those that the new
    option has too (``model=lstm`` keeps ``model.width=48``).
    """
    found: dict[str, str] = {}
    standard = _defaults(root)
    for text in (*base, *extra):
        key, _, value = text.partition("=")
        if (root / "conf" / key).is_dir() and found.get(key, standard.get(key)) != value:
            keep = _keys(root / "conf" / key / f"{value}.yaml")
            for other in [k for k in found if k.startswith(f"{key}.")]:
                if other.removeprefix(f"{key}.") not in keep:
                    del found[other]
        found[key] = value
    groups = [k for k in found if "." not in k]
    return [f"{k}={found[k]}" for k in [*groups, *(k for k in found if "." in k)]]


def _keys(path: Path) -> set[str]:
    return set(yaml.safe_load(path.read_text()) or {}) if path.is_file() else set()


def _defaults(root: Path) -> dict[str, str]:
    listed = yaml.safe_load((root / "conf" / "config.yaml").read_text())["defaults"]
    pairs = [item for item in listed if isinstance(item, dict)]
    return {k: v for item in pairs for k, v in item.items() if not k.startswith("override ") and v}


def _text(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str) and not value.replace("_", "").replace("-", "").replace(".", "").isalnum():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return repr(value) if isinstance(value, float) else str(value)
