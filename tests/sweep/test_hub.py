"""Samplers of OptunaHub by name; a module of the test stands in for the package and the web."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf

from pipeline.config.hydra_guard import check_hydra
from pipeline.errors import ConfigError, SpaceError
from pipeline.sweep import hub
from pipeline.sweep.samplers import build_sampler


class Halton(optuna.samplers.RandomSampler):
    """A sampler as a package of OptunaHub holds it."""

    def __init__(self, start: int = 0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.start = start


@pytest.fixture
def optunahub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    def load_module(package: str) -> Any:
        if package != "samplers/halton":
            raise RuntimeError("404: no such package")
        module = ModuleType("halton")
        module.Halton = Halton  # type: ignore[attr-defined]
        module.TPESampler = optuna.samplers.TPESampler  # type: ignore[attr-defined]  # imported
        return module

    package = ModuleType("optunahub")
    package.load_module = load_module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "optunahub", package)
    hub._loaded.cache_clear()
    yield package
    hub._loaded.cache_clear()


def built(**options: Any) -> Any:
    return build_sampler({"name": "hub", **options}, number=0)


@pytest.mark.usefixtures("optunahub")
def test_a_sampler_is_found_by_the_name_of_its_package() -> None:
    sampler = built(package="samplers/halton", options={"start": 7}, seed=1)
    assert isinstance(sampler, Halton) and sampler.start == 7
    assert isinstance(built(package="samplers/halton", sampler="Halton"), Halton)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no_package": ({}, "needs the name of a package"),
    "unknown_package": ({"package": "samplers/x"}, "samplers/x could not be loaded: 404"),
    "unknown_class": (
        {"package": "samplers/halton", "sampler": "Sobol"},
        "has these samplers: Halton",
    ),
    "unknown_option": ({"package": "samplers/halton", "options": {"end": 1}}, "Change its options"),
}


@pytest.mark.usefixtures("optunahub")
@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_name_or_option_is_one_clear_message(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        built(**options)


def test_without_the_package_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    hub._loaded.cache_clear()
    with pytest.raises(SpaceError, match="pip install optunahub"):
        built(package="samplers/halton")


def test_code_from_the_web_must_be_allowed() -> None:
    node = OmegaConf.create({"sweeper": {"sampler": {"name": "hub", "package": "samplers/halton"}}})
    with pytest.raises(ConfigError, match=r"allow_targets=\[optunahub\]"):
        check_hydra(node, allow=[])
    check_hydra(node, allow=["optunahub"])
