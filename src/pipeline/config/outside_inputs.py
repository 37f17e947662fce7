"""Inputs of a composition beside ``conf/`` and its overrides: clock, environment, other folders.

A composition that reads none of them gives the same values the next time, so it can be cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

from pipeline.config.references import FOLDER_NAME

# Functions of references that give the same for the same values and the same Python.
PURE = {FOLDER_NAME, "python_version", "oc.select", "oc.dict.keys", "oc.dict.values"}
SEARCH_PATH = "hydra.searchpath"

_read: ContextVar[set[str] | None] = ContextVar("read", default=None)


@contextmanager
def outside_inputs_read() -> Iterator[set[str]]:
    """Yield a set that receives what compositions inside the block read, by its name.

    A block around this one receives it too.
    """
    found: set[str] = set()
    outer = _read.get()
    token = _read.set(found)
    try:
        yield found
    finally:
        _read.reset(token)
        if outer is not None:
            outer |= found


def record_search_path(config: Any) -> None:
    """Note a search path: the files of the folders in it may change. config: as composed."""
    if config.hydra.get("searchpath"):
        _record(SEARCH_PATH)


@cache
def watch_resolvers() -> None:
    """Let OmegaConf tell of each function that a reference calls; every process needs it once.

    Below the node ``hydra`` they may read what they like: no other value may refer to it.
    """
    from omegaconf.base import Container

    call = Container._evaluate_custom_resolver

    def noted(self: Any, key: Any, node: Any, inter_type: str, *rest: Any, **named: Any) -> Any:
        if inter_type not in PURE and not node._get_full_key(None).startswith("hydra."):
            _record(inter_type)
        return call(self, key, node, inter_type, *rest, **named)

    cast(Any, Container)._evaluate_custom_resolver = noted


def _record(name: str) -> None:
    found = _read.get()
    if found is not None:
        found.add(name)
