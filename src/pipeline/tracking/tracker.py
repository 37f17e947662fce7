"""The record of one experiment of a store: it opens runs, on this disk first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import interruption
from pipeline.config.schema import Tracking
from pipeline.errors import TrainingError
from pipeline.tracking.connection import kept, store_uri
from pipeline.tracking.direct import DirectSender
from pipeline.tracking.journal import Head, new_key, open_journal
from pipeline.tracking.run import MODEL_TAG, Run
from pipeline.tracking.shipper import Shipper, shipper_of
from pipeline.tracking.store import check_address


def open_tracker(tracking: Tracking | Mapping[str, Any], *, root: Path) -> Tracker | None:
    """Return the tracker of a configuration's ``tracking`` group, or None where tracking is off.

    Raises `TrackingError` for an address that can never be a store.
    """
    settings = tracking if isinstance(tracking, Tracking) else Tracking.model_validate(tracking)
    if not settings.enabled:
        return None
    return Tracker(settings.uri, experiment=settings.experiment, root=root)


def _as_it_ended(status: str) -> str:
    return status


class Tracker:
    """Opens the runs of one experiment. The store need not be there."""

    def __init__(self, uri: str, *, experiment: str, root: Path) -> None:
        """Raises `TrackingError` for an address that can never be a store."""
        self.uri = store_uri(uri, root)
        self.root = root
        self.experiment = experiment
        self._kept_uri = kept(self.uri, root)
        check_address(self.uri)

    @cached_property
    def shipper(self) -> Shipper:
        """The thread that sends to the store; the first use loads MLflow."""
        return shipper_of(self.uri, self.root)

    @property
    def client(self) -> Any:
        """MLflow's own client of the store."""
        return self.shipper.store.client

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
        status, resumable = "KILLED", True
        try:
            yield run
            status, resumable = "FINISHED", False
        except Exception as error:
            if interruption.received() is None:  # else a library has turned a signal into an error
                status, resumable = "FAILED", not isinstance(error, TrainingError)
            raise
        finally:
            run.finish(status_of(status), resumable=resumable)

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
        head = Head(key or new_key(), self._kept_uri, self.experiment, name, tags=dict(tags))
        run, is_new = self._opened(head)
        if not is_new:
            run.set_tags(tags)
        elif params:
            run.log_params(params)
        return run

    @contextmanager
    def reopened(self, address: str) -> Iterator[Run]:
        """Write more into an existing run. address: its key, or its id in MLflow."""
        head = Head(
            new_key(),
            self._kept_uri,
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
        head = Head(new_key(), self._kept_uri, self.experiment, name, "model", create, tags)
        with self._added(head) as run:
            yield run

    @contextmanager
    def _added(self, head: Head) -> Iterator[Run]:
        """Open a run to write more into it. How it ended stands in it already."""
        journal, known = open_journal(self.root, head)
        sender = DirectSender(self.uri, self.root, mlflow=lambda: self.shipper)
        run = Run(head.key, journal, sender, known)
        try:
            yield run
        finally:
            run.finish()

    def _opened(self, head: Head) -> tuple[Run, bool]:
        journal, known = open_journal(self.root, head)
        run = Run(head.key, journal, self.shipper, known)
        self.shipper.add(journal)
        return run, not known
