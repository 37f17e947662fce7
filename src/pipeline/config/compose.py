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


def config_loader(root: Path) -> Any:
    """Return Hydra's view of ``conf/``: what ``glob(…)`` in a sweep looks through."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        return GlobalHydra.instance().config_loader()


# Settings of a sweep that a person may write without `hydra.sweeper.`.
SHORT_FORMS = ("n_trials", "n_jobs", "study_name", "storage")


def sweep_options(overrides: Sequence[str], *, root: Path) -> dict[str, Any]:
    """Return ``hydra.sweeper`` and the chosen option of each group (``choices``) under these overrides."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = _by_hydra(overrides, root, with_hydra=True)
        sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides, root)) from error
    assert isinstance(sweeper, dict)
    return {**sweeper, "choices": OmegaConf.to_container(config.hydra.runtime.choices)}


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
    from omegaconf import OmegaConf

    config = _by_hydra(overrides, root)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]}: missing. Set {missing[0]}=<value>")
    return _plain(config, resolve=True)


def _by_hydra(overrides: Sequence[str], root: Path, *, with_hydra: bool = False) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from yaml import YAMLError

    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        try:
            return hydra_compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=with_hydra)
        except YAMLError as error:
            told = " ".join(str(error).split())
            raise ConfigError(f"A file of conf/ is not valid YAML: {told}. Mend it at that line.") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"A file of conf/ is not UTF-8 text: {error}. Save it as UTF-8.") from error
        except ValueError as error:  # Hydra's word for a group set to null
            raise ConfigError(_no_option(error, overrides, root)) from error


def _no_option(error: ValueError, overrides: Sequence[str], root: Path) -> str:
    for text in overrides:
        group, _, value = text.partition("=")
        if group and (root / "conf" / group).is_dir():
            options = _options(group, root)
            if value not in options:
                return (
                    f"{group}={value}: a group takes the name of one of its options{nearest(value, options)}"
                )
    return f"{error}. A group takes the name of one of its options."


def _options(group: str, root: Path) -> list[str]:
    return [path.stem for path in (root / "conf" / group).glob("*.yaml")]


def _plain(config: Any, *, resolve: bool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def explain(error: Exception, overrides: Sequence[str], root: Path) -> str:
    """Return Hydra's complaint in one piece, with the nearest key or option where one was mistyped."""
    from omegaconf.errors import InterpolationResolutionError

    key = re.search(r"Could not override '([^']+)'", str(error))
    if key:
        section = key[1].rpartition(".")[0]
        values = _defaults(overrides, root)
        if any(k.startswith(f"{key[1]}.") for k in values):
            given = next((o for o in overrides if o.startswith(f"{key[1]}=")), key[1])
            return f"{given}: holds a key that is unknown. Set one value at a time: {key[1]}.<key>=<value>"
        known = [k for k in values if k.rpartition(".")[0] == section]
        if section.startswith("hydra."):
            known = _keys_of_hydra(section, overrides, root)
        options = [f"{path.name}=" for path in (root / "conf").iterdir() if path.is_dir() and not section]
        return f"{key[1]}: unknown key{nearest(key[1], known + options)}"
    option = re.search(r"Could not find '([^']+)'", str(error))
    if option and option[1].startswith("hydra/launcher/submitit"):
        return 'hydra/launcher=slurm: needs the launcher for it. Install it with: pip install "hydra-submitit-launcher>=1.2"'
    if option:
        group, name = option[1].replace("//", "/").rpartition("/")[::2]
        # Hydra knows options that are no file of conf/: samplers, pruners, launchers.
        listed = re.search(r"Available options in '[^']*':((?:\n\t[^\n]+)*)", str(error.__cause__ or error))
        known = listed[1].split() if listed else _options(group, root) if group else []
        if known:
            return f"{group}={name}: unknown option{nearest(name, known, prefix=f'{group}=')}"
    told = " ".join(str(error.__cause__ or error).split())
    typed = re.search(r"(Value .* could not be .*?)\s+full_key: (\S+)", told)
    if typed:
        return f"{typed[2]}: {typed[1]}. Give it a value of that type."
    if isinstance(error, InterpolationResolutionError):
        gone = next((o for o in overrides if o.startswith("~")), None)
        way_out = f"Leave {gone} out." if gone else "Name a key that exists."
        return f"{error.full_key}: {str(error).splitlines()[0]}. {way_out}"
    return told


def _defaults(overrides: Sequence[str], root: Path) -> dict[str, Any]:
    """The values that ``conf/`` gives, unresolved, where only the choice of groups is overridden."""
    pairs = [(text, *text.partition("=")[::2]) for text in overrides]
    groups = [text for text, group, option in pairs if group and option in _options(group, root)]
    return flat(_plain(_by_hydra(groups, root), resolve=False))


def _keys_of_hydra(section: str, overrides: Sequence[str], root: Path) -> list[str]:
    """The keys of a section of Hydra's own configuration, under the chosen sampler, pruner or launcher."""
    from omegaconf import OmegaConf

    groups = [text for text in overrides if "/" in text.partition("=")[0]]
    found = OmegaConf.select(_by_hydra(groups, root, with_hydra=True), section)
    return [f"{section}.{key}" for key in found] if OmegaConf.is_dict(found) else []


def composed_values(overrides: Sequence[str], *, root: Path) -> dict[str, Any]:
    """Return what ``conf/`` gives for these overrides under dotted keys, unchecked; what is missing is ``???``."""
    return flat(_plain(_by_hydra(overrides, root), resolve=True))


def _with_defaults(message: str, overrides: Sequence[str], root: Path) -> str:
    """Add to each line about a value the value that ``conf/`` has for it."""
    lines, defaults = [], _defaults([o for o in overrides if not o.startswith("~")], root)
    for line in message.splitlines():
        key = re.match(r"([a-z_0-9.]+)=", line)
        known = key is not None and key[1] in defaults and defaults[key[1]] != "???"
        differs = key is not None and not line.startswith(f"{key[1]}={defaults.get(key[1])}:")
        lines.append(f"{line} (conf/ has {key[1]}={defaults[key[1]]})" if key and known and differs else line)
    return "\n".join(lines)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
