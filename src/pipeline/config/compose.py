"""From a command line's overrides to validated `Settings`, by way of Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.compose_cache import cached
from pipeline.config.hydra_guard import check_search_path
from pipeline.config.limits import check_overrides
from pipeline.config.loading import conf_opened
from pipeline.config.package_line import check_package_lines
from pipeline.config.project import CONFIG_NAME
from pipeline.config.rules import check_rules
from pipeline.config.schema import Settings
from pipeline.config.validate import validate
from pipeline.errors import ConfigError
from pipeline.passwords import hide_all

# Settings of a sweep that a person may write without `hydra.sweeper.`.
SHORT_FORMS = ("n_trials", "n_jobs", "seeds_per_trial", "study_name", "storage")

# Hydra does not check the kind of some values: a wrong one raises one of these somewhere inside.
_MALFORMED = (AttributeError, TypeError, AssertionError, LookupError, RecursionError)


class RunConfig(NamedTuple):
    """One composed configuration in two forms.

    settings: validated and typed, for our own functions.  values: the same as plain nested values,
    resolved, to be recorded and hashed.
    """

    settings: Settings
    values: Mapping[str, Any]


def compose(overrides: Sequence[str], *, root: Path) -> RunConfig:
    """Compose ``conf/`` with overrides in Hydra's grammar.

    Raises `ConfigError` for an unknown key or option, a value out of range, or a file of ``conf/``
    that cannot be read.
    """
    values = cached(
        "settings", overrides, root=root, compose=lambda: _composed_job(overrides, root)[0]
    )
    return _checked(values, overrides, root)


def compose_job(overrides: Sequence[str], *, root: Path) -> tuple[RunConfig, Any]:
    """Compose as `compose` does; return also Hydra's own form, with its node ``hydra``."""
    values, config = _composed_job(overrides, root)
    return _checked(values, overrides, root), config


def _composed_job(overrides: Sequence[str], root: Path) -> tuple[dict[str, Any], Any]:
    """Return the resolved values, not yet validated, and Hydra's own form."""
    from omegaconf import OmegaConf

    with hydra_errors_explained(overrides, root):
        config = composed_by_hydra(overrides, root)
        task = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
        missing = sorted(OmegaConf.missing_keys(task))
        if missing:
            raise ConfigError(f"{missing[0]}: missing. Set {missing[0]}=<value>")
        return _plain(task, resolve=True), config


def _checked(values: Mapping[str, Any], overrides: Sequence[str], root: Path) -> RunConfig:
    try:
        return run_config(values, overrides)
    except ConfigError as error:
        raise ConfigError(_with_defaults(str(error), overrides, root)) from error


def run_config(values: Mapping[str, Any], overrides: Sequence[str]) -> RunConfig:
    """Validate composed values. Raises `ConfigError` with every mistake.

    overrides: those of the command line. A value that they set without effect is a mistake too.
    """
    settings = validate(values)
    check_rules(settings, explicit=explicit_keys(overrides))
    return RunConfig(settings, values)


def config_loader(root: Path) -> Any:
    """Return Hydra's view of ``conf/``: what ``glob(…)`` in a sweep looks through."""
    from hydra.core.global_hydra import GlobalHydra

    with conf_opened(root):
        return GlobalHydra.instance().config_loader()


def sweep_options(overrides: Sequence[str], *, root: Path) -> dict[str, Any]:
    """Return ``hydra.sweeper``, and under ``choices`` the chosen option of each group."""
    from omegaconf import OmegaConf

    with hydra_errors_explained(overrides, root):
        config = composed_by_hydra(overrides, root)
        sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
    assert isinstance(sweeper, dict)
    return {**sweeper, "choices": OmegaConf.to_container(config.hydra.runtime.choices)}


def explicit_keys(overrides: Sequence[str]) -> set[str]:
    """Return the keys that a list of overrides sets: ``+model.width=3`` gives ``model.width``."""
    keys = (re.split(r"[=@]", text.lstrip("+~"), maxsplit=1)[0] for text in overrides)
    return {key.replace("/", ".") for key in keys}


@contextmanager
def hydra_errors_explained(overrides: Sequence[str], root: Path) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise in the block into one `ConfigError`."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from pipeline.config.explain import explain

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, overrides, root)) from error


def composed_by_hydra(overrides: Sequence[str], root: Path) -> Any:
    """Return the composed configuration in Hydra's own form, with its node ``hydra``.

    It is unresolved. `conf_opened` has checked it, so resolving it is safe.
    """
    from hydra import compose as hydra_compose

    from pipeline.config.explain import explain_group

    check_overrides(overrides)
    check_search_path(" ".join(overrides))
    with conf_opened(root):
        check_package_lines(overrides, root)
        try:
            return hydra_compose(
                CONFIG_NAME, overrides=hide_all(overrides), return_hydra_config=True
            )
        except ValueError as error:  # Hydra raises it for a group that is set to null
            raise ConfigError(explain_group(error, overrides, root)) from error
        except _MALFORMED as error:
            raise ConfigError(
                f"The settings cannot be composed: {error}. A file of conf/ or an override gives "
                "hydra or defaults a value of the wrong kind. Correct it, or leave it out."
            ) from error


def composed_values(overrides: Sequence[str], *, root: Path) -> dict[str, Any]:
    """Return the values of ``conf/`` for these overrides under dotted keys, unchecked.

    A value that is missing is ``???``.
    """
    return values_and_references(overrides, root=root)[0]


def values_and_references(
    overrides: Sequence[str], *, root: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of `composed_values`, and the same with references as they are written."""

    def both() -> list[dict[str, Any]]:
        config = composed_by_hydra(overrides, root)
        return [_without_hydra(config, resolve=resolve) for resolve in (True, False)]

    resolved, raw = cached("values and references", overrides, root=root, compose=both)
    return flat(resolved), flat(raw)


def unresolved_values(overrides: Sequence[str], root: Path) -> dict[str, Any]:
    """Return the values that ``conf/`` gives where only the choice of groups is overridden."""
    pairs = [(text, *text.partition("=")[::2]) for text in overrides]
    conf = root / "conf"
    groups = [t for t, group, name in pairs if group and (conf / group / f"{name}.yaml").is_file()]
    return flat(_without_hydra(composed_by_hydra(groups, root), resolve=False))


def _without_hydra(config: Any, *, resolve: bool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    task = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    return _plain(task, resolve=resolve)


def _plain(config: Any, *, resolve: bool) -> dict[str, Any]:
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _with_defaults(message: str, overrides: Sequence[str], root: Path) -> str:
    """Add to each line about a value the value that ``conf/`` has for it."""
    defaults = unresolved_values([o for o in overrides if not o.startswith("~")], root)
    lines = []
    for line in message.splitlines():
        match = re.match(r"([a-z_0-9.]+)=", line)
        key = match[1] if match else ""
        standard = defaults.get(key, "???")
        if standard != "???" and not line.startswith(f"{key}={standard}:"):
            line = f"{line} (conf/ has {key}={standard})"
        lines.append(line)
    return "\n".join(lines)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values under dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
