"""Packages of which Lightning needs a few names, loaded without the rest until it is used.

A package's own code runs when anything else of it is used for the first time, and then the package
is what it always is. Its light names are there before: `lazy_torchmetrics`, `lazy_dynamo`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any

_lock = threading.RLock()
_MOST_WAIT_S = 60.0


@dataclass(frozen=True)
class Recipe:
    """How a package is loaded in two parts.

    light: the names that `load` returns; it may raise `ImportError` and `AttributeError`, for a
    version that is built in another way, and then the package's code runs.  attributes: what the
    package has from the start.  first: whether its code must run before that of its modules.
    """

    package: str
    light: Collection[str]
    load: Callable[[], Mapping[str, Any]]
    attributes: Callable[[], Mapping[str, Any]] = dict
    first: bool = False


class LazyPackage(ModuleType):
    """A package whose own code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        """Return one of the light names, or run the package's code and return what it has."""
        if name.startswith("__") and name != "__all__":  # tools look at all modules
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            if name in _loader_of(self).recipe.light and name not in vars(self):
                self._load_light()
            if name not in vars(self):
                self.run()
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a name. The package's code runs before: it would set its own value afterwards."""
        if not (name.startswith("__") or isinstance(value, ModuleType)):  # those are the import's
            self.run()
        ModuleType.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        """Run the package's code and return all its names."""
        self.run()
        return list(vars(self))

    def _load_light(self) -> None:
        recipe = _loader_of(self).recipe
        before = set(sys.modules)
        _become(self, _Running)
        try:
            found = recipe.load()
        except (ImportError, AttributeError):
            for half in [m for m in set(sys.modules) - before if m.startswith(recipe.package)]:
                del sys.modules[half]
            _become(self, LazyPackage)
            self.run()
        else:
            _become(self, LazyPackage)
            vars(self).update(found)

    def run(self) -> None:
        """Run the package's own code, once."""
        with _lock:
            if type(self) is not LazyPackage:
                return
            loader = _loader_of(self)
            _become(self, _Running)
            try:
                loader.true_loader.exec_module(self)
            finally:
                _become(self, ModuleType)


class _Running(ModuleType):
    """A package whose own code runs; what is missing may come."""

    def __getattr__(self, name: str) -> Any:
        # The thread that runs the code has the lock. It may need a module that this thread imports
        # just now, so this one does not wait for ever.
        if _lock.acquire(timeout=_MOST_WAIT_S):
            _lock.release()
        if type(self) is not _Running and hasattr(self, name):
            return getattr(self, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _become(package: ModuleType, kind: Any) -> None:
    package.__class__ = kind


class _LazyLoader(Loader):
    def __init__(self, recipe: Recipe, true_loader: Loader) -> None:
        self.recipe, self.true_loader = recipe, true_loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return LazyPackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self.recipe.attributes())


def _loader_of(package: LazyPackage) -> _LazyLoader:
    assert package.__spec__ is not None
    loader = package.__spec__.loader
    assert isinstance(loader, _LazyLoader)
    return loader


class _Finder(MetaPathFinder):
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package = self.recipe.package
        if self.recipe.first and fullname.startswith(f"{package}."):
            self._run_whole()
        if fullname != package:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.loader is None or found.origin is None:
            return None
        return spec_from_file_location(
            fullname,
            found.origin,
            loader=_LazyLoader(self.recipe, found.loader),
            submodule_search_locations=found.submodule_search_locations,
        )

    def _run_whole(self) -> None:
        module = sys.modules.get(self.recipe.package)
        # Another thread that runs it may wait for the module that this one imports: no waiting.
        if type(module) is LazyPackage and _lock.acquire(blocking=False):
            try:
                module.run()
            finally:
                _lock.release()


def install(recipe: Recipe) -> None:
    """Let the next import of the package be a lazy one; nothing where it is imported already."""
    known = [finder.recipe.package for finder in sys.meta_path if isinstance(finder, _Finder)]
    if recipe.package not in sys.modules and recipe.package not in known:
        sys.meta_path.insert(0, _Finder(recipe))
