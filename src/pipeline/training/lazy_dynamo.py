"""The compiler of torch, ``torch._dynamo``, which is loaded when something is compiled.

Lightning imports it for a class that it asks about, torch's optimizers for two functions that do
nothing where nothing is compiled. With it come sympy, Inductor and more: 1.8 s of the 4.3 s in
which ``pipeline train`` imports what it needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from pipeline.training.lazy_packages import LazyPackage, Recipe

PACKAGE = "torch._dynamo"


def _loaded(name: str) -> Any:
    """Return what the true package has under a name; None before its code has come to it.

    While another thread runs that code, the package may still have our own under the name.
    """
    package = sys.modules.get(PACKAGE)
    found = None if type(package) is LazyPackage else vars(package).get(name)
    return None if found is globals()[name] else found


class _OfCompiledModules(type):
    """Asks the true class, which nothing can be one of before it is loaded."""

    def __instancecheck__(cls, instance: object) -> bool:
        true_class = _loaded("OptimizedModule")
        return true_class is not None and isinstance(instance, true_class)

    def __subclasscheck__(cls, subclass: type) -> bool:
        true_class = _loaded("OptimizedModule")
        return true_class is not None and issubclass(subclass, true_class)


class OptimizedModule(metaclass=_OfCompiledModules):
    """Stands for the class of what ``torch.compile`` makes of a module."""


def disable(fn: Any = None, recursive: bool = True, **options: Any) -> Any:
    """Return a function that the compiler leaves alone; the parameters are those of torch.

    The function itself is called until the compiler is loaded, by which all but a function is
    handled at once.
    """
    if not isinstance(fn, FunctionType):
        sys.modules[PACKAGE].run()
        return _loaded("disable")(fn, recursive, **options)
    disabled: Callable[..., Any] | None = None

    @wraps(fn)
    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal disabled
        if disabled is None:
            true_disable = _loaded("disable")
            if true_disable is None:
                return fn(*args, **kwargs)
            disabled = true_disable(fn, recursive, **options)
        return disabled(*args, **kwargs)

    return called


def graph_break(msg: str = "") -> None:
    """Do nothing, as outside of compiled code; within it, what torch's own does."""
    true_break = _loaded("graph_break")
    if true_break is not None:
        true_break(msg)


def _load() -> dict[str, Any]:
    return {each.__name__: each for each in (OptimizedModule, disable, graph_break)}


RECIPE = Recipe(PACKAGE, light=_load().keys(), load=_load, first=True)
