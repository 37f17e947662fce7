"""Sending what earlier processes could not send: ``pipeline sync``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.passwords import HIDDEN, reveal
from pipeline.tracking.connection import absolute, kept
from pipeline.tracking.leftovers import Leftover, leftovers, num_open, prune, ship
from pipeline.tracking.store import Store, load_client

NO_PASSWORD = "the password of its address is not kept; set MLFLOW_TRACKING_URI to the address"


@dataclass(frozen=True)
class Synced:
    """The outcome for one journal. uri: of its store.  leftover: None where its process lives."""

    name: str
    uri: str
    leftover: Leftover | None


def sync(root: Path, *, each: Callable[[Synced], None] = lambda _: None) -> list[Synced]:
    """Send every open journal of a project, the oldest first.

    each: called after each journal. A store that fails is not asked again for its other journals.
    """
    stores: dict[str, Store] = {}
    failed: dict[str, str] = {}  # store → why it is not asked again
    done = []
    for folder, head in list(leftovers(root)):
        if head.uri not in stores and head.uri not in failed:
            uri = _address(head.uri, root)
            if uri is None:
                failed[head.uri] = NO_PASSWORD
            else:
                load_client(uri)
                stores[head.uri] = Store(uri, root=root)
        if head.uri in failed:
            left: Leftover | None = Leftover(head.name, 0, num_open(folder), 0, failed[head.uri])
        else:
            left = ship(folder, head, stores[head.uri])
        if left is not None and left.store_failed:
            failed[head.uri] = left.reason
        outcome = Synced(head.name, head.uri, left)
        done.append(outcome)
        each(outcome)
    prune(root)
    return done


def _address(shown: str, root: Path) -> str | None:
    """Return the address of a store that a journal shows; None where its password is missing."""
    if HIDDEN not in shown:
        return absolute(shown, root)
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    known = given if kept(given, root) == shown else reveal(shown)
    return known if known != shown else None
