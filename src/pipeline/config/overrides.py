"""Overrides of a run: from its resolved values back to overrides, and two lists merged into one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.compose import composed_values, flat, values_and_references
from pipeline.config.conf_files import option_values
from pipeline.config.limits import read_yaml_text
from pipeline.config.project import options_of
from pipeline.config.schema import Own, OwnData, OwnOptimizer
from pipeline.config.validate import schema_of

# Groups whose option stands in the resolved values as their name.
ATTACHED = ("callbacks", "metrics", "logger")
# Mappings that are null in ``conf/`` and take any key.
OPEN = (("trainer", "extra"), ("schedule", "arguments"))
# Words that Hydra's grammar reads as themselves: no number, no true, no null, no other sign.
_PLAIN_WORD = re.compile(
    r"(?!(?:null|true|false|nan|inf)$)[^\W\d_][\w.-]*|[\w./-]*/[\w./-]*",
    re.IGNORECASE | re.ASCII,
)
_NAMED_GROUPS = ("data", "augment", "model", "activation", "init", "loss", "optimizer", "schedule")


def overrides_of(values: Mapping[str, Any], *, root: Path) -> list[str]:
    """Return overrides that compose to these resolved values.

    The options of groups come first, then the values that differ from theirs. Values that
    ``conf/`` has no key for are left out.  values: as recorded with a model or a run.
    """
    standard = _defaults(root)
    chosen = {group: _option_of(group, values[group], root=root) for group in _NAMED_GROUPS}
    groups = [
        f"{group}={option}"
        for group, option in chosen.items()
        if option and standard.get(group) != option
    ]
    # Unchecked: an option alone may lack a value or contradict another that the run has.
    (given, raw), wanted = values_and_references(groups, root=root), flat(values)
    named = [] if given["name"] == wanted["name"] else [f"name={override_text(wanted['name'])}"]
    apart = ("name", *ATTACHED)
    changed = _changed(wanted, given, without=apart)
    # Values that follow from others, such as the name of the tracked experiment, come last.
    follow = {key for key, value in raw.items() if "${" in str(value)}
    own = [o for o in changed if o.partition("=")[0] not in follow]
    if len(own) < len(changed):
        given = composed_values([*groups, *own], root=root)
        own += _changed(wanted, given, without=apart)
    return [*named, *groups, *own, *_of_own_classes(values, given), *_attached(values)]


def _of_own_classes(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return overrides for the arguments of a person's own classes that no option has."""
    sections = {group: values[group] for group in _NAMED_GROUPS if "_target_" in values[group]}
    return [
        f"+{group}.{key}={override_text(value)}"
        for group, node in sections.items()
        if issubclass(schema_of(group, node), Own | OwnOptimizer | OwnData)
        for key, value in node.items()
        if f"{group}.{key}" not in given
        and not any(known.startswith(f"{group}.{key}.") for known in given)
    ]


def _attached(values: Mapping[str, Any]) -> list[str]:
    """Return overrides for what a person attaches: ``conf/`` has no keys for it."""
    found = [
        f"+{section}.{key}={override_text(node)}"
        for section in ATTACHED
        for key, node in _named(values.get(section))
    ]
    for section, key in OPEN:
        if node := values[section].get(key):
            found.append(f"{section}.{key}={override_text(node)}")
    return found


def _named(value: Any) -> list[tuple[str, Any]]:
    pairs = enumerate(value) if isinstance(value, list) else (value or {}).items()
    return [(str(key), node) for key, node in pairs]


def _changed(
    wanted: Mapping[str, Any], given: Mapping[str, Any], *, without: Sequence[str]
) -> list[str]:
    """Return overrides for the values that differ from those given, where there is such a key."""
    return [
        f"{key}={override_text(value)}"
        for key, value in wanted.items()
        if key not in without and key in given and given[key] != value
    ]


def section_overrides(group: str, node: Mapping[str, Any], *, root: Path) -> list[str]:
    """Return overrides that give the values of one section: its option, and what differs from it.

    node: the section's values; those that its option has no key for are left out.
    """
    option = _option_of(group, node, root=root)
    chosen = [f"{group}={option}"] if option else []
    given = composed_values(chosen, root=root)
    wanted = {f"{group}.{key}": value for key, value in node.items()}
    whole = [*chosen, *_changed(wanted, given, without=(f"{group}.name",))]
    # The name may follow from the other values.
    return [*whole, *_changed(wanted, composed_values(whole, root=root), without=())]


def _option_of(group: str, node: Mapping[str, Any], *, root: Path) -> str | None:
    """Return the option of a group that a section comes from; None where no option has its keys.

    The section's name tells it in most cases. The name of a person's own data set does not.
    """
    name, known = str(node["name"]), options_of(group, root)
    # A run of an earlier version lacks the keys that came later.
    if name in known and (group != "data" or _keys(group, name, root) >= set(node)):
        return name
    fitting = [option for option in known if _keys(group, option, root) >= set(node)]
    return min(fitting, key=lambda o: _num_differing(group, o, node, root)) if fitting else None


def _num_differing(group: str, option: str, node: Mapping[str, Any], root: Path) -> int:
    given = option_values(group, option, root)
    return sum(given[key] != value for key, value in node.items()) + len(set(given) - set(node))


def merge(base: Sequence[str], extra: Sequence[str], *, root: Path) -> list[str]:
    """Return both lists as one: each key once, with its last value.

    Another option of a group drops the values that only the old option has (``model=lstm`` keeps
    ``model.width=48``).
    """
    found: dict[str, str] = {}
    standard = _defaults(root)
    for text in (*base, *extra):
        key, _, value = text.partition("=")
        if (root / "conf" / key).is_dir() and found.get(key, standard.get(key)) != value:
            keep = _keys(key, value, root)
            for other in [k for k in found if k.lstrip("+").startswith(f"{key}.")]:
                if other.lstrip("+").removeprefix(f"{key}.") not in keep:
                    del found[other]
        found[key] = value
    groups = [k for k in found if "." not in k]
    return [f"{k}={found[k]}" for k in [*groups, *(k for k in found if "." in k)]]


def _keys(group: str, option: str, root: Path) -> set[str]:
    return set(option_values(group, option, root))


def _defaults(root: Path) -> dict[str, str]:
    listed = yaml.safe_load(read_yaml_text(root / "conf" / "config.yaml"))["defaults"]
    pairs = [item for item in listed if isinstance(item, dict)]
    return {k: v for item in pairs for k, v in item.items() if not k.startswith("override ") and v}


def override_text(value: Any) -> str:
    """Return a value as the right side of an override, in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ",".join(override_text(v) for v in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{override_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str) and not _PLAIN_WORD.fullmatch(value):
        # Only before a quote and at the end is a backslash more than itself.
        escaped = re.sub(
            r"(\\*)('|\Z)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value, flags=re.DOTALL
        )
        return f"'{escaped}'"
    return repr(value) if isinstance(value, float) else str(value)


def value_text(value: Any) -> str:
    """Return a plain value as the right side of an override; a string is taken as written."""
    return value if isinstance(value, str) else override_text(value)
