"""The record of one experiment of a store: it opens runs, on this disk first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import interruption
from pipeline.config.schema import Tracking
from pipeline.errors import TrainingError
from pipeline.files import sqlite_file
from pipeline.tracking.connection import check_address, kept, store_uri
from pipeline.tracking.journal import Head, new_key, open_journal
from pipeline.tracking.run import MODEL_TAG, NAME_TAG, Run
from pipeline.tracking.shipper import Shipper, shipper_of
from pipeline.tracking.store import Store


def open_tracker(tracking: Tracking | Mapping[str, Any], *, root: Path) -> Tracker | None:
    """Return the tracker of a configuration's ``tracking`` group, or None where tracking is off.

    Raises `TrackingError` for an address that can never be a store.
    """
    settings = tracking if isinstance(tracking, Tracking) else Tracking.model_validate(tracking)
    if not settings.enabled:
        return None
    return Tracker(settings.uri, experiment=settings.experiment, root=root)


def where_its_run_is(
    asked: Tracking, trained: Tracking, *, explicit: Set[str] = frozenset()
) -> Tracking:
    """Return the settings with which a later command adds to the run of a model.

    They lead to the store and the experiment of its training, unless a person names a store.

    asked: of the command.  trained: of the model.  explicit: the keys a person set for the command.
    """
    uri = trained.uri
    if not trained.enabled or explicit & {"tracking", "tracking.uri"}:
        uri = asked.uri
    return asked.model_copy(update={"uri": uri, "experiment": trained.experiment})


def _as_it_ended(status: str) -> str:
    return status


class Tracker:
    """Opens the runs of one experiment. The store need not be there.

    kept_uri: its address as messages show it.
    """

    def __init__(self, uri: str, *, experiment: str, root: Path) -> None:
        """Raises `TrackingError` for an address that can never be a store."""
        self.uri = store_uri(uri, root)
        self.root = root
        self.experiment = experiment
        self.kept_uri = kept(self.uri, root)
        check_address(self.uri)

    @cached_property
    def shipper(self) -> Shipper:
        """The thread that sends to the store; the first use loads MLflow where it is needed."""
        return shipper_of(self.uri, self.root)

    @property
    def has_store(self) -> bool:
        """Whether the store may have runs: False for a file that is not there yet."""
        file = sqlite_file(self.uri)
        return file is None or file.is_file()

    @cached_property
    def client(self) -> Any:
        """MLflow's own client of the store."""
        return Store(self.uri, root=self.root).client

    @contextmanager
    def recording(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        key: str | None = None,
        status_of: Callable[[str], str | None] = _as_it_ended,
    ) -> Iterator[Run]:
        """Open a run as `start` does, and end it as FINISHED, FAILED or KILLED.

        A run is FAILED after an `Exception`, and KILLED after Ctrl-C and other interruptions.
        status_of: maps this status to the recorded one; None leaves the run open.
        """
        run = self.start(name, tags=tags, params=params, key=key)
        try:
            yield run
        except BaseException as error:
            status, resumable = "KILLED", True
            # After a signal, the error is what a library has made of it.
            if isinstance(error, Exception) and interruption.received() is None:
                status, resumable = "FAILED", not isinstance(error, TrainingError)
            with contextlib.suppress(OSError):  # a full disk: the next command ends the run
                run.finish(status_of(status), resumable=resumable)
            raise
        run.finish(status_of("FINISHED"))

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Run:
        """Open a run, or resume the one with this key; the caller ends it.

        tags: a parent may be named by its key.  params: of a new run; a resumed one has them.
        Raises ``OSError`` where the journal cannot be written.
        """
        head = Head(key or new_key(), self.kept_uri, self.experiment, name, tags=dict(tags))
        run, is_new = self._opened(head)
        if not is_new:  # equal settings may go on under another name
            run.set_tags({NAME_TAG: name, **tags})
        elif params:
            run.log_params(params)
        return run

    @contextmanager
    def reopened(self, address: str) -> Iterator[Run]:
        """Write more into an existing run. address: its key, or its id in MLflow."""
        head = Head(
            new_key(),
            self.kept_uri,
            self.experiment,
            address,
            "existing",
            False,
            {"address": address},
        )
        with self._added(head) as run:
            yield run

    @contextmanager
    def of_model(self, *, model_sha256: str, name: str, create: bool = False) -> Iterator[Run]:
        """Write more into the latest run that made this model.

        create: make a run where there is none; else nothing is recorded then.
        """
        tags = {MODEL_TAG: model_sha256}
        head = Head(new_key(), self.kept_uri, self.experiment, name, "model", create, tags)
        with self._added(head) as run:
            yield run

    @contextmanager
    def _added(self, head: Head) -> Iterator[Run]:
        """Open a run to write more into it. How it ended stands in it already."""
        run, _ = self._opened(head)
        try:
            yield run
        finally:
            run.finish()

    def _opened(self, head: Head) -> tuple[Run, bool]:
        journal, known = open_journal(self.root, head)
        run = Run(head.key, journal, self.shipper, known)
        self.shipper.add(journal)
        return run, not known
