"""Building objects from ``_target_`` nodes, inside an allow-list of packages.

Hydra's own ``instantiate`` calls whatever a file names, so that a configuration from elsewhere can
write files or open connections. Here a target must be a class of an allowed package *and* of the
kind that its section asks for. The one exception: the factory functions of ``torchvision.models``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.words import nearest
from pipeline.errors import ConfigError, PipelineError

ALLOWED = ("torch.nn", "torch.optim", "torchvision", "pipeline")
FACTORIES = "torchvision.models"


def locate(
    target: str, *, kind: type | None, allow: Sequence[str] = (), key: str = "_target_"
) -> Any:
    """Return the class (or torchvision model factory) that a dotted path names.

    kind: the class it must derive from; None asks only for a class with ``__call__``.
    Raises `ConfigError` for a path outside the allow-list or without an object, and for another
    kind.
    """
    check_allowed(target, allow=allow, key=key)
    found = _import(target, key)
    home = getattr(found, "__module__", "") or ""
    factory = inspect.isfunction(found) and is_inside(home, (FACTORIES,)) and kind is not None
    fits = inspect.isclass(found) and (issubclass(found, kind) if kind else _transforms(found))
    if not (factory or fits):
        wanted = f"a subclass of {kind.__name__}" if kind else "a class whose objects can be called"
        raise ConfigError(f"{key}={target}: must be {wanted}, and is {_described(found)}.")
    if not is_inside(home, (*ALLOWED, *allow)):
        raise ConfigError(
            f"{key}={target}: comes from {home}, outside the allowed packages "
            f"({', '.join((*ALLOWED, *allow))}). Name a class of one of them."
        )
    return found


def check_allowed(target: str, *, allow: Sequence[str], key: str) -> None:
    """Raise `ConfigError` for a path outside the allow-list; nothing is imported."""
    allowed = (*ALLOWED, *allow)
    if not is_inside(target, allowed):
        raise ConfigError(
            f"{key}={target}: outside the allowed packages ({', '.join(allowed)}). "
            f"If you trust it, add its package: allow_targets=[{target.split('.')[0]}]"
        )


def build(
    target: str,
    arguments: Mapping[str, Any],
    *,
    kind: type | None,
    allow: Sequence[str] = (),
    offered: Mapping[str, Any] | None = None,
    key: str,
) -> Any:
    """Build the object of a ``_target_`` node.

    arguments: what the configuration says; nodes with a ``_target_`` inside are built first.
    offered: values from the program (``input_shape`` …), passed where the signature has the name.
    """
    maker = locate(target, kind=kind, allow=allow, key=f"{key}._target_")
    signature = inspect.signature(maker)
    parameters = signature.parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name in arguments:
        if name not in parameters and not takes_all:
            raise ConfigError(
                f"{key}.{name}: unknown to {target}{nearest(name, parameters, prefix=f'{key}.')}"
            )
    if inspect.isfunction(maker):
        _refuse_foreign_weights(arguments, key)
    given = {name: _built(value, kind, allow, f"{key}.{name}") for name, value in arguments.items()}
    # torchvision's factories pass ``**kwargs`` to a network that takes num_classes only.
    hidden = {"num_classes"} if inspect.isfunction(maker) and takes_all else set()
    known = {n: v for n, v in (offered or {}).items() if n in parameters or n in hidden}
    made = _made(maker, signature, {**known, **given}, f"{key}: {target}")
    if kind is not None and not isinstance(made, kind):
        raise ConfigError(
            f"{key}._target_={target}: made a {type(made).__name__}, needed {kind.__name__}."
        )
    return made


def _refuse_foreign_weights(arguments: Mapping[str, Any], key: str) -> None:
    """Raise `ConfigError` where a factory would download weights: they are a pickle from afar."""
    for name, value in arguments.items():
        if name.startswith(("weights", "pretrained")) and value not in (None, False):
            raise ConfigError(
                f"{key}.{name}={value}: would download weights and unpickle them. "
                f"Leave it out: the network begins with random weights."
            )


def _made(
    maker: Any, signature: inspect.Signature, arguments: Mapping[str, Any], described: str
) -> Any:
    """Call the maker; raise `ConfigError` where its arguments do not fit or it refuses them."""
    try:
        signature.bind(**arguments)
        return maker(**arguments)
    except PipelineError:
        raise
    except ImportError as error:  # a package is missing; the message names it
        raise ConfigError(f"{described} cannot be built: {' '.join(str(error).split())}") from error
    except Exception as error:  # a person's own class may raise anything
        usual = isinstance(error, TypeError | ValueError | RuntimeError)
        raise ConfigError(
            f"{described} cannot be built: {error if usual else _told(error)}. "
            f"Its signature: {signature}. Change its arguments."
        ) from error


def _built(value: Any, kind: type | None, allow: Sequence[str], key: str) -> Any:
    if isinstance(value, Mapping) and "_target_" in value:
        inner = {k: v for k, v in value.items() if k not in ("_target_", "name")}
        return build(str(value["_target_"]), inner, kind=kind, allow=allow, key=key)
    if isinstance(value, list):
        return [_built(item, kind, allow, f"{key}.{i}") for i, item in enumerate(value)]
    return value


def is_inside(path: str, packages: Sequence[str]) -> bool:
    """Return whether a dotted path is a package of these, or lies in one."""
    return any(path == package or path.startswith(package + ".") for package in packages)


def _import(target: str, key: str) -> Any:
    module, _, name = target.rpartition(".")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{key}={target}: there is no module {error.name!r}. Check its name; "
            "a module of your own must be installed, or its folder be named in PYTHONPATH."
        ) from error
    except Exception as error:  # the code of a person's own module may raise anything
        raise ConfigError(
            f"{key}={target}: {module} cannot be imported: {_told(error)}. Mend it."
        ) from error
    if not hasattr(found, name):
        known = [n for n in dir(found) if n[0].isupper()]
        raise ConfigError(f"{key}={target}: {module} has no {name}{nearest(name, known)}")
    return getattr(found, name)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")


def _transforms(found: type) -> bool:
    """Whether the objects of a class can be called; of ours, only augmentations count."""
    # A class is always callable itself; what counts is whether its objects are.
    called = any("__call__" in vars(base) for base in found.__mro__)
    return called and (not is_inside(found.__module__, ("pipeline",)) or _augments(found))


def _augments(found: type) -> bool:
    return is_inside(found.__module__, ("pipeline.data.augment",))


def _described(found: Any) -> str:
    return f"the class {found.__name__}" if inspect.isclass(found) else f"a {type(found).__name__}"
