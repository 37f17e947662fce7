"""Samplers of OptunaHub, by the name of their package; the package optunahub loads them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import optuna

from pipeline.errors import SpaceError

OPTION = "hydra/sweeper/sampler=hub"


def hub_sampler(given: Mapping[str, Any], *, seed: int | None) -> optuna.samplers.BaseSampler:
    """Return a sampler of OptunaHub.

    given: ``package``, ``sampler`` (the name of the class, where the package has several), and
    ``options``.
    Raises `SpaceError` where optunahub is missing, or where the package cannot be loaded or built.
    """
    package = given.get("package")
    if not package:
        raise SpaceError(
            f"{OPTION}: needs the name of a package, as in "
            "hydra.sweeper.sampler.package=samplers/auto_sampler"
        )
    kind = _class(_loaded(package), package, given.get("sampler"))
    options = {**given.get("options", {})}
    if seed is not None:
        if "seed" not in inspect.signature(kind).parameters:
            raise SpaceError(f"{OPTION}: {package} takes no seed. Leave it out.")
        options["seed"] = seed
    try:
        sampler: optuna.samplers.BaseSampler = kind(**options)
    except (TypeError, ValueError) as error:
        raise SpaceError(f"{OPTION}: {package}: {error}. Change its options.") from error
    return sampler


@cache
def _loaded(package: str) -> Any:
    try:
        hub = import_module("optunahub")
    except ImportError as error:
        raise SpaceError(
            f"{OPTION}: needs the package optunahub, which is not installed. "
            "Install it: pip install optunahub"
        ) from error
    try:
        return hub.load_module(package)
    except Exception as error:  # a web that is not there, a package that does not exist
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise SpaceError(
            f"{OPTION}: {package} could not be loaded: {first_line}. OptunaHub reads it from the "
            "web. Check its name on hub.optuna.org."
        ) from error


def _class(module: Any, package: str, name: str | None) -> Any:
    found = {
        key: kind
        for key, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, optuna.samplers.BaseSampler)
        and not kind.__module__.startswith("optuna.")
    }
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    listed = ", ".join(found) or "none"
    raise SpaceError(
        f"{OPTION}: hydra.sweeper.sampler.sampler={name}: {package} has these samplers: {listed}."
    )
