"""The package torchmetrics, of which Lightning needs two classes, loaded without the rest.

Lightning imports torchmetrics for ``Metric`` and ``MetricCollection``. The package then imports all
its metrics, and with them torchvision, scipy and more: most of the time of
``import pytorch_lightning``. Here the package's own code runs when anything else of it is used for
the first time. The two classes are the true ones, so metrics of any code work as always.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any

PACKAGE = "torchmetrics"
# Name → the module that holds it.
LIGHT = {"Metric": f"{PACKAGE}.metric", "MetricCollection": f"{PACKAGE}.collections"}
# It and `metric` import each other, and only in this order.
_FIRST = f"{PACKAGE}.utilities"
_lock = threading.RLock()


class LazyPackage(ModuleType):
    """A package whose own code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        """Return one of the light names, or run the package's code and return what it has."""
        if name.startswith("__") and name != "__all__":  # tools look at all modules
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            if name in LIGHT and name not in vars(self):
                self._load_light()
            if name not in vars(self):
                self._run()
        return getattr(self, name)

    def _load_light(self) -> None:
        """Load the light names; another version may be built in another way, then run its code."""
        before = set(sys.modules)
        kind: Any = ModuleType
        self.__class__ = kind  # what is missing is an error now
        try:
            importlib.import_module(_FIRST)
            found = {
                name: getattr(importlib.import_module(place), name) for name, place in LIGHT.items()
            }
        except (ImportError, AttributeError):
            for half in [m for m in set(sys.modules) - before if m.startswith(f"{PACKAGE}.")]:
                del sys.modules[half]
            self.__class__ = LazyPackage
            self._run()
        else:
            self.__class__ = LazyPackage
            vars(self).update(found)

    def _run(self) -> None:
        if type(self) is LazyPackage:
            kind: Any = ModuleType
            self.__class__ = kind
            assert self.__spec__ is not None and isinstance(self.__spec__.loader, _LazyLoader)
            self.__spec__.loader.true_loader.exec_module(self)


class _LazyLoader(Loader):
    def __init__(self, true_loader: Loader) -> None:
        self.true_loader = true_loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return LazyPackage(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__version__ = version(PACKAGE)  # type: ignore[attr-defined]
        module._logger = logging.getLogger(PACKAGE)  # type: ignore[attr-defined]


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != PACKAGE:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.loader is None or found.origin is None:
            return None
        return spec_from_file_location(
            fullname,
            found.origin,
            loader=_LazyLoader(found.loader),
            submodule_search_locations=found.submodule_search_locations,
        )


def install() -> None:
    """Let the next import of torchmetrics be a lazy one; nothing where it is imported already."""
    if PACKAGE not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
