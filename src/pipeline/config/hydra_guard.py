"""What a configuration may let Hydra run: its own parts, and packages that a person allows.

Hydra builds its launcher, its sweeper, its callbacks and its logging from ``hydra.…``, and any
option of any group can set those keys. So they are held to a list, as `pipeline.config.guard` holds
the ``_target_`` of a model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigError

HYDRAS_OWN = ("hydra_plugins", "hydra._internal.core_plugins", "hydra.experimental.callbacks")
HANDLERS = ("logging", "logging.handlers")
FORMATTERS = ("colorlog.ColoredFormatter", "logging.Formatter")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
# Variables that make a program load code of somebody else's.
LOADING = re.compile(r"(LD_|DYLD_|PYTHON|PATH$|BASH_ENV|GIT_)")


def check_hydra(hydra: Any, *, allow: Sequence[str]) -> None:
    """Raise `ConfigError` for a key of ``hydra`` that would run code outside the allow-list.

    hydra: the unresolved node.  allow: ``allow_targets`` of the configuration.
    """
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(hydra, resolve=False)
    assert isinstance(values, dict)
    for key, target in _targets(values, "hydra"):
        _check_inside(key, target, (*HYDRAS_OWN, *allow))
    sweeper, job = _mapping(values.get("sweeper")), _mapping(values.get("job"))
    for name in ("listener", "custom_search_space"):
        given = sweeper.get(name)
        for target in given if isinstance(given, list) else [given] if given else []:
            _check_inside(f"hydra.sweeper.{name}", target, ("pipeline", *allow))
    sampler = _mapping(sweeper.get("sampler"))
    if sampler.get("name") == "hub" and "optunahub" not in allow:
        raise ConfigError(
            f"hydra.sweeper.sampler.package={sampler.get('package')}: is code that OptunaHub loads "
            "from the web. If you trust it, add allow_targets=[optunahub]"
        )
    for name in ("job_logging", "hydra_logging"):
        _check_logging(f"hydra.{name}", values.get(name))
    if job.get("env_copy"):
        raise ConfigError(
            "hydra.job.env_copy: would copy environment variables into the record of the run. "
            "Leave it out: workers inherit the environment."
        )
    for variable in _mapping(job.get("env_set")):
        if LOADING.match(str(variable)):
            raise ConfigError(
                f"hydra.job.env_set.{variable}: decides which code is loaded. "
                "Set it in your shell instead."
            )


def check_search_path(text: str) -> None:
    """Raise `ConfigError` where a search path names a package: Hydra imports it to look inside.

    text: of an override or of the list in ``conf/config.yaml``.
    """
    for package in re.findall(r"pkg://([\w.]*)", text):
        if package.partition(".")[0] != "hydra":
            raise ConfigError(
                f"hydra.searchpath=[pkg://{package}]: importing a package would run it. "
                "Name a folder: file://<folder>"
            )


def check_allow_targets(allow: Sequence[str]) -> None:
    """Raise `ConfigError` where Python's own modules are allowed as targets."""
    for package in allow:
        top = package.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("", "hydra", "hydra_plugins"):
            raise ConfigError(
                f"allow_targets=[{package}]: this package can run any command. "
                "Name the package that holds your own class."
            )


def _mapping(node: Any) -> Mapping[Any, Any]:
    return node if isinstance(node, Mapping) else {}


def _targets(node: Any, at: str) -> Iterator[tuple[str, str]]:
    """Yield each ``_target_`` below a node, with its dotted key."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield f"{at}._target_", str(value)
            else:
                yield from _targets(value, f"{at}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, f"{at}.{index}")


def _check_inside(key: str, target: Any, packages: Sequence[str]) -> None:
    if any(str(target).startswith(f"{package}.") for package in packages):
        return
    raise ConfigError(
        f"{key}={target}: outside the allowed packages ({', '.join(packages)}). "
        f"If you trust it, add its package: allow_targets=[{str(target).split('.')[0]}]"
    )


def _check_logging(key: str, node: Any) -> None:
    """Refuse what `logging.config` would call or import from a configuration."""
    if isinstance(node, list):
        for index, value in enumerate(node):
            _check_logging(f"{key}.{index}", value)
    if not isinstance(node, Mapping):
        if isinstance(node, str) and node.startswith(("ext://", "cfg://")) and node not in STREAMS:
            raise ConfigError(f"{key}={node}: only {' and '.join(STREAMS)} may be named here.")
        return
    for name, value in node.items():
        if name == "()" and value not in FORMATTERS:
            raise ConfigError(f"{key}.()={value}: only {' and '.join(FORMATTERS)} may be built.")
        if name == "class" and str(value).rpartition(".")[0] not in HANDLERS:
            raise ConfigError(f"{key}.class={value}: must be a class of {' or '.join(HANDLERS)}.")
        _check_logging(f"{key}.{name}", value)
