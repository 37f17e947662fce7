"""A configuration as a file of ``conf/experiment/``: only the values that differ from ``conf/``.

The file holds differences. So it does not matter how a value came about: by a group's option, by a
preset of a sweep, or by an override.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.compose import compose, composed_values, flat, sweep_options
from pipeline.errors import ConfigError
from pipeline.files import write_atomically

# Groups and keys that a sweep or a machine sets. The training does not depend on them.
_GROUPS_LEFT_OUT = ("sweep", "experiment", "debug", "tracking", "evaluation")
_KEYS_LEFT_OUT = ("objective", "name", "seed", "tracking", "evaluation")


def experiment_text(overrides: Sequence[str], *, name: str, comment: str, root: Path) -> str:
    """Return the file that makes ``experiment=<name>`` the same configuration as these overrides.

    The seed is left out: the best seed of a sweep is luck. The objective and the tracking are left
    out too. comment: the lines on top, without ``#``.
    Raises `ConfigError` where the overrides no longer compose.
    """
    groups = _changed_groups(overrides, root)
    _, values = compose(overrides, root=root)
    # Unchecked: an option alone may lack a value or contradict another.
    given = composed_values([f"{group}={option}" for group, option in groups.items()], root=root)
    wanted = flat(values)
    changed = {
        key: value
        for key, value in wanted.items()
        if key.split(".")[0] not in _KEYS_LEFT_OUT and (key not in given or given[key] != value)
    }
    body: dict[str, Any] = {"name": name, **_nested(changed)}
    lines = ["# @package _global_", *(f"# {line}".rstrip() for line in comment.splitlines())]
    if groups:
        lines += [
            "defaults:",
            *(f"  - override /{group}: {option}" for group, option in groups.items()),
        ]
    text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return "\n".join([*lines, "", text])


def write_experiment(overrides: Sequence[str], *, name: str, comment: str, root: Path) -> Path:
    """Write `experiment_text` into ``conf/experiment/`` and check that it gives the same training.

    A file of the same name that a person wrote is not replaced. Raises `ConfigError` then.
    """
    path = check_replaceable(name=name, comment=comment, root=root)
    text = experiment_text(overrides, name=name, comment=comment, root=root)
    before = path.read_bytes() if path.is_file() else None
    write_atomically(path, text.encode())
    try:
        _check_same(overrides, name, root)
    except ConfigError:
        path.unlink() if before is None else path.write_bytes(before)
        raise
    return path


def check_replaceable(*, name: str, comment: str, root: Path) -> Path:
    """Return the path of ``experiment=<name>``, if no person wrote a file there.

    Our own files begin with the first line of the comment. Raises `ConfigError` for any other file.
    """
    path = root / "conf" / "experiment" / f"{name}.yaml"
    marker = f"# {comment.splitlines()[0]}"
    if path.is_file() and marker not in path.read_text().splitlines():
        raise ConfigError(
            f"{path}: was not written by this pipeline. Move it, or choose another name."
        )
    return path


def _check_same(overrides: Sequence[str], name: str, root: Path) -> None:
    _, wanted = compose(overrides, root=root)
    _, found = compose([f"experiment={name}"], root=root)
    had, has = flat(wanted), flat(found)
    differing = [
        key
        for key in sorted({*had, *has})
        if key.split(".")[0] not in _KEYS_LEFT_OUT and had.get(key) != has.get(key)
    ]
    if differing:
        key = differing[0]
        raise ConfigError(
            f"experiment={name}: would have {key}={has.get(key)} instead of {had.get(key)}."
        )


def _changed_groups(overrides: Sequence[str], root: Path) -> dict[str, str]:
    chosen, usual = (sweep_options(o, root=root)["choices"] for o in (overrides, []))
    return {
        group: option
        for group, option in sorted(chosen.items())
        if not group.startswith("hydra/")
        and group not in _GROUPS_LEFT_OUT
        and option != usual.get(group)
    }


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        node = nested
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return nested


def safe_name(text: str) -> str:
    """Return a name that may be a file's and a run's: other characters become ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).lstrip("_-")[:90] or "study"
