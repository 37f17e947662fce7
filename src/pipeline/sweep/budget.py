"""The budget of a study: one slot for each trial, which workers claim, renew and close.

Optuna's ask and tell know neither a total nor whether a worker still lives. So each trial of the
budget is a row (a slot) in the study's own database. A worker claims a free slot in one atomic
statement, renews its lease while it works, and closes the slot with an outcome. A slot is free
again when its lease runs out, or when its process on this machine is gone. The next worker then
takes up the same trial with the same parameters. So the number of finished trials is exact, even
if workers are killed.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

# The names in the database stay as they are: studies that exist must go on.
_META = sql.MetaData()
_SLOTS = sql.Table(
    "pipeline_tickets",
    _META,
    sql.Column("study", sql.String(255), primary_key=True),
    sql.Column("ticket", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("owner", sql.String(255)),
    sql.Column("expires", sql.Float, nullable=False, default=0.0),
    sql.Column("trial", sql.Integer),
    sql.Column("attempts", sql.Integer, nullable=False, default=0),
    sql.Column("outcome", sql.String(16)),  # complete, pruned, failed; NULL while it is open
    # Without these indexes every claim would read the whole budget.
    sql.Index("pipeline_tickets_open", "study", "outcome", "ticket"),
    sql.Index("pipeline_tickets_held", "study", "owner"),
)
# Seconds since 1970 by the database's clock: the workers' clocks may differ.
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
}


@dataclass(frozen=True)
class Slot:
    """A claimed slot. trial: the Optuna trial of an earlier attempt, None where there was none."""

    number: int
    trial: int | None
    attempts: int


class Budget:
    """The slots of one study; one object for each worker and process.

    lease: seconds that a claim holds without being renewed.
    """

    def __init__(self, engine: sql.Engine, study: str, *, lease: float) -> None:
        self.engine = engine
        self.study = study
        self.lease = lease
        self.owner = _owner()
        self._now = sql.literal_column(_NOW[engine.dialect.name], sql.Float)
        s = _SLOTS.c
        self._ours = s.study == study
        self._open = sql.and_(self._ours, s.outcome.is_(None))
        self._held = sql.and_(self._open, s.owner == self.owner)
        self._free = sql.and_(self._open, sql.or_(s.owner.is_(None), s.expires < self._now))

    def make_table(self) -> None:
        """Create the table where it is missing; call this under the lock of the schema."""
        _META.create_all(self.engine)

    def fill(self, total: int) -> None:
        """Add slots until there are at least ``total``."""
        for _ in range(100):
            have = self._count_where(self._ours)
            rows = [{"study": self.study, "ticket": i} for i in range(have, total)]
            if not rows:
                return
            try:
                with self.engine.begin() as connection:
                    connection.execute(sql.insert(_SLOTS), rows)
            except sql.exc.IntegrityError:  # another process fills it at this moment
                continue

    def claim(self) -> Slot | None:
        """Take the first free slot; None where all are closed or held by living workers.

        A worker holds one slot at a time.
        """
        self._free_the_dead()
        s = _SLOTS.c
        free = sql.select(s.ticket).where(self._free).order_by(s.ticket)
        first = free.limit(1).scalar_subquery()
        update = (
            sql.update(_SLOTS)
            .where(self._free, s.ticket == first)
            .values(owner=self.owner, expires=self._now + self.lease, attempts=s.attempts + 1)
        )
        while True:
            if self._change(update):
                row = self._row(sql.select(s.ticket, s.trial, s.attempts).where(self._held))
                return Slot(row[0], row[1], row[2])
            if not self.claimable():
                return None

    def claimable(self) -> int:
        """Return how many slots are free now."""
        self._free_the_dead()
        return self._count_where(self._free)

    def bind(self, slot: Slot, trial: int) -> None:
        """Record which Optuna trial belongs to a slot."""
        self._change(sql.update(_SLOTS).where(self._is(slot)).values(trial=trial))

    def renew(self, slot: Slot) -> bool:
        """Prolong the lease; return False where another worker holds the slot by now."""
        update = sql.update(_SLOTS).where(self._held, self._is(slot))
        return bool(self._change(update.values(expires=self._now + self.lease)))

    def close(self, slot: Slot, outcome: str) -> None:
        """Close a slot for good: the first outcome stays."""
        self._change(
            sql.update(_SLOTS)
            .where(self._is(slot), _SLOTS.c.outcome.is_(None))
            .values(outcome=outcome, owner=None, expires=0.0)
        )

    def release(self, slot: Slot) -> None:
        """Free a slot without counting the attempt: the person stopped, not the trial.

        A slot without a trial keeps its attempt, since a trial may have been made for it.
        """
        s = _SLOTS.c
        update = sql.update(_SLOTS).where(self._held, self._is(slot))
        attempts = sql.case((s.trial.is_(None), s.attempts), else_=s.attempts - 1)
        self._change(update.values(owner=None, expires=0.0, attempts=attempts))

    def count(self) -> Counter[str]:
        """Return the number of slots by outcome; those without one count as ``open``."""
        outcome, number = _SLOTS.c.outcome, sql.func.count()
        query = sql.select(outcome, number).where(self._ours).group_by(outcome)
        with self.engine.connect() as connection:
            return Counter({name or "open": n for name, n in connection.execute(query)})

    def failed(self) -> int:
        """Return the number of failed slots; cheaper than `count`, for use before every trial."""
        return self._count_where(sql.and_(self._ours, _SLOTS.c.outcome == "failed"))

    def _is(self, slot: Slot) -> sql.ColumnElement[bool]:
        return sql.and_(self._ours, _SLOTS.c.ticket == slot.number)

    def _free_the_dead(self) -> None:
        """Free the slots of this machine's processes that are gone, before their lease ends."""
        owner = _SLOTS.c.owner
        with self.engine.connect() as connection:
            query = sql.select(owner).where(self._open, owner > "")
            owners = [name for (name,) in connection.execute(query)]
        for name in owners:
            if not _alive(name):
                update = sql.update(_SLOTS).where(self._open, owner == name)
                self._change(update.values(owner=None, expires=0.0))

    def _change(self, statement: sql.Update) -> int:
        with self.engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _count_where(self, condition: sql.ColumnElement[bool]) -> int:
        query = sql.select(sql.func.count()).select_from(_SLOTS).where(condition)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _row(self, query: sql.Select[Any]) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(query).one()


def _machine() -> str:
    """Return this machine's name and, in a container, its own numbering of processes."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        namespace = boot = ""
    return f"{socket.gethostname()}/{boot}{namespace}"


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks: it tells apart two uses of one number.

    Empty for a process that is gone, or that was killed and still waits for its parent.
    """
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    except (OSError, IndexError):
        return ""


def _owner() -> str:
    return f"{_machine()}|{os.getpid()}|{_started(os.getpid())}|{uuid.uuid4().hex[:8]}"


def _alive(owner: str) -> bool:
    """Return whether a worker may still live; only on this machine can the answer be no."""
    machine, pid, started, _ = owner.rsplit("|", 3)
    if machine != _machine():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not started or _started(int(pid)) == started
