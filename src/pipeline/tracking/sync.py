"""Sending what earlier processes could not send: ``pipeline sync``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.passwords import HIDDEN, reveal
from pipeline.tracking.connection import absolute, kept
from pipeline.tracking.destination import Destination, NeedsMlflow
from pipeline.tracking.journal import Head
from pipeline.tracking.leftovers import Leftover, leftovers, num_open, prune, ship
from pipeline.tracking.shipper import by_mlflow, open_store

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
    stores: dict[str, Destination] = {}
    failed: dict[str, str] = {}  # store → why it is not asked again
    done = []
    for folder, head in list(leftovers(root)):
        if head.uri not in stores and head.uri not in failed:
            uri = _address(head.uri, root)
            if uri is None:
                failed[head.uri] = NO_PASSWORD
            else:
                stores[head.uri] = open_store(uri, root)
        if head.uri in failed:
            left: Leftover | None = Leftover(head.name, 0, num_open(folder), 0, failed[head.uri])
        else:
            left = _shipped(folder, head, stores)
        if left is not None and left.store_failed:
            failed[head.uri] = left.reason
        outcome = Synced(head.name, head.uri, left)
        done.append(outcome)
        each(outcome)
    prune(root)
    return done


def _shipped(folder: Path, head: Head, stores: dict[str, Destination]) -> Leftover | None:
    """Send a journal; let MLflow write into its store from here on where only MLflow can."""
    store = stores[head.uri]
    try:
        return ship(folder, head, store)
    except NeedsMlflow:
        stores[head.uri] = by_mlflow(store.uri, store.root)
        return ship(folder, head, stores[head.uri])


def _address(shown: str, root: Path) -> str | None:
    """Return the address of a store that a journal shows; None where its password is missing."""
    if HIDDEN not in shown:
        return absolute(shown, root)
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    known = given if kept(given, root) == shown else reveal(shown)
    return known if known != shown else None
