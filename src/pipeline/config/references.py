"""References ``${…}`` of a composed configuration: how large they grow, and what they may read.

The size is counted before OmegaConf resolves anything: a few lines that each name the line before
several times would fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from pipeline.errors import ConfigError

MAX_SIZE = 500_000  # characters and items of the resolved configuration
MAX_CHAIN = 200
# Functions that references may call. What they give in a run's own settings is recorded.
FOLDER_NAME = "folder_name"  # our own, see `register_functions`
OWN_FUNCTIONS = {"now", "python_version", "oc.select", "oc.dict.keys", "oc.dict.values"}
OWN_FUNCTIONS |= {FOLDER_NAME}
HYDRA_FUNCTIONS = OWN_FUNCTIONS | {"hydra", "oc.env"}

_FUNCTION = re.compile(r"\s*([A-Za-z_][\w.]*)\s*:")
Path = tuple[str, ...]


def register_functions() -> None:
    """Make our own function of references known to OmegaConf; every process needs it once."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver(FOLDER_NAME, _folder_name, replace=True)


def _folder_name(*, _parent_: Any) -> str:
    """Return the last name of the ``path`` in the same section, as the name of a data set."""
    from omegaconf import OmegaConf

    missing = OmegaConf.is_missing(_parent_, "path")
    last = "" if missing else PurePath(str(_parent_.get("path"))).name
    return re.sub(r"[^A-Za-z0-9_-]+", "_", last).strip("_-")[:90] or "image_folder"


def check_references(config: Any) -> None:
    """Raise `ConfigError` for references that grow without end or read what is not recorded.

    config: as Hydra composes it, unresolved, with or without its node ``hydra``.
    """
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(config, resolve=False)
    _Sizes(_with_text_keys(plain)).of((), 0)


def _with_text_keys(node: Any) -> Any:
    """Return plain values whose keys are all text, as a reference names them."""
    if isinstance(node, Mapping):
        return {str(key): _with_text_keys(value) for key, value in node.items()}
    return [_with_text_keys(value) for value in node] if isinstance(node, list) else node


class _Sizes:
    """The size of each value once its references are resolved; each is counted once."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self.known: dict[Path, int | None] = {}  # None: being counted

    def of(self, path: Path, depth: int) -> int:
        """Return the size of the value at a path, 0 where there is none."""
        if path in self.known:
            size = self.known[path]
            if size is None:
                raise ConfigError(f"{_dotted(path)}: refers to itself. Name another key.")
            return size
        if depth > MAX_CHAIN:
            raise ConfigError(
                f"{_dotted(path)}: is reached over more than {MAX_CHAIN} references. Shorten them."
            )
        self.known[path] = None
        size = self.count(self.at(path, depth), path, depth + 1)
        if size > MAX_SIZE:
            raise ConfigError(
                f"{_dotted(path) or 'the configuration'}: its references ${{...}} grow beyond "
                f"{MAX_SIZE} characters. Write the value itself."
            )
        self.known[path] = size
        return size

    def count(self, value: Any, path: Path, depth: int) -> int:
        """Return the size of a value that stands at a path."""
        if isinstance(value, Mapping):
            return 1 + sum(self.of((*path, key), depth) for key in value)
        if isinstance(value, list):
            return 1 + sum(self.of((*path, str(i)), depth) for i in range(len(value)))
        if not isinstance(value, str) or "${" not in value:
            return 1 + len(str(value))
        outer = sum(self.of_reference(text, path, depth) for text in references(value))
        return 1 + len(value) + outer

    def of_reference(self, text: str, path: Path, depth: int) -> int:
        """Return the size of what a reference gives; text: between ``${`` and ``}``."""
        text = self.without_inner(text, path, depth)
        function = _FUNCTION.match(text)
        if function is None:
            return self.of(_target(text, path), depth)
        self.check_function(function[1], text, path)
        arguments = text[function.end() :].split(",")
        if function[1] == "hydra":
            arguments = [f"hydra.{argument.strip()}" for argument in arguments]
        sizes = (self.of(_target(a, path), depth) for a in arguments if _names_key(a))
        return 1_000 + len(text) + sum(sizes)

    def check_function(self, name: str, text: str, path: Path) -> None:
        """Refuse a function that reads what a record must not hold, or that makes references."""
        allowed = HYDRA_FUNCTIONS if path[:1] == ("hydra",) else OWN_FUNCTIONS
        if name in allowed:
            return
        shown = f"{_dotted(path)}=${{{text}}}"
        if name == "oc.env":
            raise ConfigError(
                f"{shown}: reads an environment variable, but every setting of a run is recorded. "
                "Write the value itself. For a store of MLflow, set MLFLOW_TRACKING_URI instead."
            )
        raise ConfigError(f"{shown}: {name} may not be used here. Write the value itself.")

    def without_inner(self, text: str, path: Path, depth: int) -> str:
        """Return the text with the references inside it replaced by what they give."""
        for inner in references(text):
            if self.of_reference(inner, path, depth) > MAX_SIZE or _FUNCTION.match(inner):
                raise ConfigError(
                    f"{_dotted(path)}: ${{{text}}} holds a function inside a reference. "
                    "Write the value itself."
                )
            target = _target(self.without_inner(inner, path, depth), path)
            found = self.at(target, depth)
            if isinstance(found, str) and "${" in found:
                raise ConfigError(
                    f"{_dotted(path)}: ${{{text}}} names a key by a reference to a reference. "
                    "Write the value itself."
                )
            text = text.replace(f"${{{inner}}}", str(found), 1)
        return text

    def at(self, path: Path, depth: int) -> Any:
        """Return the unresolved value at a path, through nodes that are references themselves."""
        value = self.values
        for place, part in enumerate(path):
            if isinstance(value, str):
                inside = list(references(value))
                whole = len(inside) == 1 and value == f"${{{inside[0]}}}"
                if not whole or _FUNCTION.match(inside[0]) or "${" in inside[0]:
                    return None
                if depth > MAX_CHAIN:
                    raise ConfigError(f"{_dotted(path)}: refers to itself. Name another key.")
                onward = _target(inside[0], path[:place])
                return self.at((*onward, *path[place:]), depth + 1)
            value = _child(value, part)
        return value


def references(text: str) -> Iterator[str]:
    """Yield what stands between each outermost ``${`` and its ``}``."""
    start = text.find("${")
    while start != -1:
        end, depth = start + 2, 1
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        yield text[start + 2 : end - 1] if not depth else text[start + 2 :]
        start = text.find("${", end)


def _target(text: str, at: Path) -> Path:
    """Return the path of a key as a reference names it: ``a.b``, ``a[0]``, ``.beside``."""
    text = text.strip()
    dots = len(text) - len(text.lstrip("."))
    parts = tuple(part for part in re.split(r"[.\[\]]+", text) if part)
    return (*at[: max(0, len(at) - dots)], *parts) if dots else parts


def _names_key(text: str) -> bool:
    return re.fullmatch(r"\s*[.\w\[\]-]+\s*", text) is not None


def _child(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return None


def _dotted(path: Path) -> str:
    return ".".join(path)
