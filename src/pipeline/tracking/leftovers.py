"""Journals that no process holds: their writers have ended, or died. What is open in them is sent.

A run whose process died without a word is closed as KILLED, with the reason in a tag. It is known
to be dead when the lock of its journal is free and it ran on this machine.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from pipeline.tracking.connection import short_reason
from pipeline.tracking.delivery import Delivery, NotYet
from pipeline.tracking.destination import Destination, NeedsMlflow
from pipeline.tracking.journal import (
    Head,
    Journal,
    Line,
    all_journals,
    folders_of,
    head_of,
    hold,
    lines_from,
    now_ms,
    read_lines,
    read_state,
)

# A run that was interrupted may go on. Its journal is kept this long, so that no row is doubled.
KEPT_DAYS = 30


@dataclass(frozen=True)
class Leftover:
    """What was done about one journal.

    sent: writes that were confirmed.  open: writes that wait.  refused: that MLflow never takes.
    reason: why writes wait or are refused; empty where all is well.  store_failed: whether the
    store did not answer as it should.
    """

    name: str
    sent: int
    open: int
    refused: int = 0
    reason: str = ""
    store_failed: bool = False


def leftovers(root: Path) -> Iterator[tuple[Path, Head]]:
    """Yield the journals below a project's root that hold something open, the oldest first."""
    for folder, head in all_journals(root):
        if num_open(folder) or not _ended(folder):
            yield folder, head


def ship(folder: Path, head: Head, store: Destination) -> Leftover | None:
    """Send what is open in a journal; return None where a living process holds it.

    The result names the reason where the store fails. Raises `NeedsMlflow` where only it can.
    """
    before = [*takewhile(lambda each: each != folder, folders_of(store.root, head.key))]
    if before:  # the lines of one run in order: that one sends those before it
        ship(before[-1], head, store)
    journal = hold(folder)
    if journal is None:
        return None
    try:
        _close_dead(journal, store.root)
        opened, reason, failed = num_open(folder), "", False
        try:
            Delivery(folder, store, alive=False).send()
        except NotYet as waiting:
            reason = f"waits for {waiting}"
        except NeedsMlflow:
            raise
        except Exception as error:  # a strange answer raises anything; the lines stay
            reason, failed = short_reason(error), True
        left = num_open(folder)
        state = read_state(folder)
        if not left:
            settle(journal)
        told = reason or state.reason
        return Leftover(head.name, opened - left, left, state.refused, told, failed)
    finally:
        journal.close()


def settle(journal: Journal) -> None:
    """Delete a journal that is confirmed, or only give it up, where its run may go on."""
    last = _last(journal.folder)
    if last.get("op") == "end" and not last.get("resumable"):
        journal.delete()
    else:
        journal.close()


def prune(root: Path, *, clock: Callable[[], float] = time.time) -> None:
    """Delete confirmed journals of runs that were interrupted long ago."""
    for folder, _ in all_journals(root):
        try:
            age_s = clock() - (folder / "lines.jsonl").stat().st_mtime
        except FileNotFoundError:  # another process has just sent and deleted it
            continue
        if age_s > KEPT_DAYS * 86400 and not num_open(folder) and (journal := hold(folder)):
            journal.delete()


def _close_dead(journal: Journal, root: Path) -> None:
    """End a run that nobody ended, where its process is known to be dead."""
    lines, _ = read_lines(journal.folder)
    head = head_of(lines[0]) if lines else None
    if head is None or lines[-1]["op"] == "end":
        return
    if head.target != "own":
        journal.write("end", status=None, t=now_ms(), resumable=False)
        return
    writer = next(line for line in reversed(lines) if line["op"] in ("head", "begin"))
    if writer["host"] != socket.gethostname():
        return
    others = [f for f in folders_of(root, head.key) if f != journal.folder]
    goes_on = any(not _ended(folder) for folder in others)
    reason = f"process {writer['pid']} on {writer['host']} ended without a word"
    status = None if goes_on else "KILLED"
    journal.write("end", status=status, t=_last_time(lines), resumable=True, reason=reason)


def _last_time(lines: list[Line]) -> int:
    return max((line["t"] for line in lines if "t" in line), default=now_ms())


def num_open(folder: Path) -> int:
    """Return how many lines of a journal are not confirmed."""
    return sum(1 for _ in lines_from(folder, read_state(folder).offset))


def _ended(folder: Path) -> bool:
    return _last(folder).get("op") == "end"


def _last(folder: Path) -> Line:
    lines, _ = read_lines(folder)
    return lines[-1] if lines else {}
