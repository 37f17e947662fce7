"""The thread that sends journals to MLflow, beside the training.

One thread a process and store. It sends the journals of this process in order, and when they are
sent, those that ended processes have left. After a failure it pauses, each time twice as long. The
end of a run waits for its confirmation, but only a short time where the store does not answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.tracking.connection import short_reason
from pipeline.tracking.delivery import Delivery, NotYet
from pipeline.tracking.destination import Destination, NeedsMlflow
from pipeline.tracking.journal import Head, Journal
from pipeline.tracking.leftovers import leftovers, num_open, settle, ship
from pipeline.tracking.sqlite_store import SqliteStore, is_plain
from pipeline.tracking.store import Store, load_client

# Seconds in which lines are gathered for one call: short epochs would make many calls, and each
# takes time from the training on a small machine.
GATHER_S = 1.0
# Seconds between attempts after failures: the first, and the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
# Seconds that the ends of all runs of a process wait together for a server: without an answer, and
# at most. A local file is waited for as long as it does not fail.
PATIENCE_S, LONGEST_WAIT_S = 5.0, 60.0

_sending = threading.RLock()  # held while a store is talked to, so that no fork falls into it


@cache
def shipper_of(uri: str, root: Path) -> Shipper:
    """Return the shipper of this process for a store."""
    return Shipper(open_store(uri, root))


def open_store(uri: str, root: Path) -> Destination:
    """Return a store, written without MLflow where that is possible; else MLflow is imported."""
    return SqliteStore(uri, root=root) if is_plain(uri) else by_mlflow(uri, root)


def by_mlflow(uri: str, root: Path) -> Store:
    """Import MLflow, and return a store that it writes."""
    load_client(uri)
    return Store(uri, root=root)


class Shipper:
    """Sends journals of this process from a thread of its own.

    trouble: why the last attempt failed; empty where it did not.  needs_mlflow: whether the thread
    waits until another one has imported MLflow.
    """

    def __init__(self, store: Destination) -> None:
        self.store = store
        self.trouble = ""
        self.needs_mlflow = False
        self._open: dict[Path, tuple[Journal, Delivery]] = {}
        self._ended: set[Path] = set()
        self._changed = threading.Condition()
        self._work, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._leftovers: Iterator[tuple[Path, Head]] = leftovers(store.root)
        self._answered = self._waited = self._silent = 0.0
        self._told = False

    def add(self, journal: Journal) -> None:
        """Begin to send a journal."""
        with self._changed:
            delivery = Delivery(journal.folder, self.store, confirmed=self._note_answer)
            self._open[journal.folder] = (journal, delivery)
            if self._thread is None:
                self._thread = threading.Thread(target=self._ship, daemon=True, name="shipper")
                self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Let the thread look for new lines.

        MLflow is imported here, where the thread has found that it needs it: imports of two threads
        can meet half of each other's modules.
        """
        if self.needs_mlflow and threading.current_thread() is not self._thread:
            self._turn_to_mlflow()
        self._work.set()

    def _turn_to_mlflow(self) -> None:
        store = by_mlflow(self.store.uri, self.store.root)
        with self._changed, _sending:
            self.store = store
            self.needs_mlflow = False
            for _, delivery in self._open.values():
                delivery.store = store

    def finish(self, journal: Journal) -> None:
        """Wait until a journal whose last line is written is confirmed; tell what stays open."""
        began = self._answered = time.monotonic()
        with self._changed:
            self._ended.add(journal.folder)
            self._hurry.set()
            self.wake()
            while journal.folder in self._open and not self._impatient(began):
                self._changed.wait(0.1)
                if self.needs_mlflow:
                    self.wake()
            still_open = journal.folder in self._open
        waited = time.monotonic() - began
        self._waited += waited
        if still_open:
            self._silent += waited
            self._tell_open(journal)

    def _impatient(self, began: float) -> bool:
        now = time.monotonic()
        if self._thread is None or not self._thread.is_alive():
            return True
        if self.store.is_local and not self.trouble:  # a file answers, on a busy machine slowly
            return False
        silent = self._silent + now - self._answered
        return silent > PATIENCE_S or self._waited + now - began > LONGEST_WAIT_S

    def _tell_open(self, journal: Journal) -> None:
        if self._told:
            return
        self._told = True
        count = num_open(journal.folder)
        reason = self.trouble or f"no answer within {PATIENCE_S:g} s"
        print(
            f"warning: {count} writes are not in MLflow yet ({self.store.kept_uri}: {reason}). "
            "journal/ keeps them, so nothing is lost. To send them: pipeline sync. "
            "The next training sends them too.",
            file=sys.stderr,
        )

    # ---- the thread ------------------------------------------------------------------------

    def _ship(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            self._work.wait()
            hurry = self._hurry.is_set()
            self._hurry.clear()  # before the round: what ends now is seen by it or by a wait
            self._work.clear()
            if self._round():
                pause = FIRST_PAUSE_S
                if not self._ship_leftover():
                    self._hurry.wait(GATHER_S)
                continue
            if hurry or self._hurry.wait(pause):  # a run ends: try soon
                pause = FIRST_PAUSE_S
                time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            self._work.set()

    def _round(self) -> bool:
        """Send what is open in all journals; return whether everything was sent."""
        with self._changed:
            journals = list(self._open.values())
        complete = True
        for journal, delivery in journals:
            ended = journal.folder in self._ended  # before sending: its last line is written
            try:
                with _sending:
                    journal.sync()  # here, so that the training does not wait for the disk
                    delivery.send()
            except NotYet as waiting:
                self.trouble, complete = f"waits for {waiting}", False
            except NeedsMlflow:
                self.needs_mlflow = True  # `wake` and `finish` see it, in another thread
                return False
            except Exception as error:  # a strange answer raises anything; the lines stay
                self.trouble = short_reason(error)
                self.store.forget()
                return False
            else:
                if ended:
                    self._settle(journal, delivery)
        if complete:
            self.trouble = ""
        return complete

    def _settle(self, journal: Journal, delivery: Delivery) -> None:
        if delivery.state.refused:
            print(
                f"warning: MLflow refused {delivery.state.refused} writes of "
                f"{delivery.head.name}: {delivery.state.reason}. "
                "The results on disk are complete.",
                file=sys.stderr,
            )
        settle(journal)
        with self._changed:
            del self._open[journal.folder]
            self._ended.discard(journal.folder)
            self._changed.notify_all()

    def _ship_leftover(self) -> bool:
        """Send one journal that an ended process has left; return whether there was one."""
        for folder, head in self._leftovers:
            if head.uri != self.store.kept_uri:
                continue
            with _sending, contextlib.suppress(OSError):
                try:
                    ship(folder, head, self.store)
                except NeedsMlflow:
                    self.needs_mlflow = True
            self._work.set()  # then look again: the journals of this process go first
            return True
        return False

    def _note_answer(self) -> None:
        self._answered = time.monotonic()


def _before_fork() -> None:
    """Wait until the thread holds no lock of a library: in the child nobody would give it back."""
    _sending.acquire(timeout=LONGEST_WAIT_S)


def _after_fork() -> None:
    if _sending._is_owned():  # type: ignore[attr-defined]
        _sending.release()


def _in_child() -> None:
    """A forked process has no thread of its parent's: it begins with shippers of its own."""
    global _sending
    _sending = threading.RLock()
    shipper_of.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
