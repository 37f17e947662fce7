"""From a command line's overrides to validated `Settings`, by way of Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.rules import check_rules
from pipeline.config.schema import Settings
from pipeline.config.validate import nearest, validate
from pipeline.errors import ConfigError

CONFIG_NAME = "config"


def find_root(start: Path | None = None) -> Path:
    """Return the project's root: the folder with ``conf/config.yaml``, here.

    Raises `ConfigError` in any other folder, since every path of a run is relative to the root.
    """
    root = (start or Path.cwd()).resolve()
    if not (root / "conf" / f"{CONFIG_NAME}.yaml").is_file():
        raise ConfigError(
            f"No conf/{CONFIG_NAME}.yaml in {root}: commands run in the project's root. Go there with cd."
        )
    return root


def compose(overrides: Sequence[str], *, root: Path) -> tuple[Settings, dict[str, Any]]:
    """Compose ``conf/`` with overrides in Hydra's grammar; return the settings and the resolved values."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        values = _composed(overrides, root)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides, root)) from error
    try:
        return settle(values, overrides), values
    except ConfigError as error:
        raise ConfigError(_with_defaults(str(error), overrides, root)) from error


def settle(values: Mapping[str, Any], overrides: Sequence[str]) -> Settings:
    """Validate composed values, and the rules across fields for what was set explicitly."""
    settings = validate(values)
    check_rules(settings, explicit=explicit_keys(overrides))
    return settings


def explicit_keys(overrides: Sequence[str]) -> set[str]:
    """Return the keys that a list of overrides sets: ``+model.width=3`` gives ``model.width``."""
    keys = (re.split(r"[=@]", text.lstrip("+~"), maxsplit=1)[0] for text in overrides)
    return {key.replace("/", ".") for key in keys}


def _composed(overrides: Sequence[str], root: Path) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        try:
            config = hydra_compose(CONFIG_NAME, overrides=list(overrides))
        except ValueError as error:  # Hydra's word for a group set to null
            raise ConfigError(f"{error}. A group takes the name of one of its options.") from error
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]}: missing. Set {missing[0]}=<value>")
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def explain(error: Exception, overrides: Sequence[str], root: Path) -> str:
    """Return Hydra's complaint in one piece, with the nearest key or option where one was mistyped."""
    key = re.search(r"Could not override '([^']+)'", str(error))
    if key:
        section = key[1].rpartition(".")[0]
        known = [k for k in _defaults(overrides, root) if k.rpartition(".")[0] == section]
        options = [f"{path.name}=" for path in (root / "conf").iterdir() if path.is_dir() and not section]
        return f"{key[1]}: unknown key{nearest(key[1], known + options)}"
    option = re.search(r"Could not find '([^']+)'", str(error))
    if option:
        group, _, name = option[1].rpartition("/")
        known = [path.stem for path in (root / "conf" / group).glob("*.yaml")] if group else []
        if known:
            return f"{group}={name}: unknown option{nearest(name, known, prefix=f'{group}=')}"
    return " ".join(str(error.__cause__ or error).split())


def _defaults(overrides: Sequence[str], root: Path) -> dict[str, Any]:
    """The values that ``conf/`` gives where only the choice of groups is overridden."""
    groups = [
        o for o in overrides if (root / "conf" / o.split("=")[0]).is_dir() and "." not in o.split("=")[0]
    ]
    return _flat(_composed(groups, root))


def _with_defaults(message: str, overrides: Sequence[str], root: Path) -> str:
    """Add to each line about a value the value that ``conf/`` has for it."""
    lines = []
    for line in message.splitlines():
        key = re.match(r"([a-z_0-9.]+)=", line)
        defaults = _defaults([o for o in overrides if not o.startswith("~")], root) if key else {}
        known = key is not None and key[1] in defaults and "." in key[1]
        lines.append(f"{line} (conf/ has {key[1]}={defaults[key[1]]})" if key and known else line)
    return "\n".join(lines)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
