"""The budget of a study as a table of tickets: who works on which trial, and until when that holds.

Optuna's ask and tell know neither a total nor whether a worker is still alive. So each trial of the
budget is a row here, in the study's own database. A worker claims a row in one atomic statement,
renews its lease while it works, and marks it done. A row whose worker is gone (its lease ran out, or
its process on this machine no longer exists) is claimed by the next one, which takes up the same
trial with the same parameters. So the number of finished trials is exact, whoever is killed when.
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

_META = sql.MetaData()
_TICKETS = sql.Table(
    "pipeline_tickets",
    _META,
    sql.Column("study", sql.String(255), primary_key=True),
    sql.Column("ticket", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("owner", sql.String(255)),
    sql.Column("expires", sql.Float, nullable=False, default=0.0),
    sql.Column("trial", sql.Integer),
    sql.Column("attempts", sql.Integer, nullable=False, default=0),
    sql.Column("outcome", sql.String(16)),  # complete, pruned, failed; NULL while it is open
    # Without these every claim would read the whole budget.
    sql.Index("pipeline_tickets_open", "study", "outcome", "ticket"),
    sql.Index("pipeline_tickets_held", "study", "owner"),
)
# Seconds since 1970 by the database's clock: the workers' clocks may differ.
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
    "mysql": "unix_timestamp(now(6))",
}


@dataclass(frozen=True)
class Ticket:
    """A claimed row. trial: the Optuna trial of an earlier attempt, if it came that far."""

    number: int
    trial: int | None
    attempts: int


class Tickets:
    """The rows of one study; one object per worker and process."""

    def __init__(self, engine: sql.Engine, study: str, *, lease: float) -> None:
        self.engine = engine
        self.study = study
        self.lease = lease
        self.owner = _owner()
        self._now = sql.literal_column(_NOW[engine.dialect.name], sql.Float)
        t = _TICKETS.c
        self._mine = sql.and_(t.study == study, t.owner == self.owner, t.outcome.is_(None))
        self._free = sql.and_(
            t.study == study, t.outcome.is_(None), sql.or_(t.owner.is_(None), t.expires < self._now)
        )

    def make_table(self) -> None:
        """Create the table where it is missing; call it under the lock of the schema."""
        _META.create_all(self.engine)

    def fill(self, total: int) -> None:
        """Have at least ``total`` rows."""
        for _ in range(100):
            have = self._scalar(sql.select(sql.func.count()).where(_TICKETS.c.study == self.study))
            rows = [{"study": self.study, "ticket": i} for i in range(have, total)]
            if not rows:
                return
            try:
                with self.engine.begin() as connection:
                    connection.execute(sql.insert(_TICKETS), rows)
            except sql.exc.IntegrityError:  # another process fills it at this moment
                continue

    def claim(self) -> Ticket | None:
        """Take the first free row, or None where all are done or in living hands. One at a time."""
        self._free_the_dead()
        t = _TICKETS.c
        while True:
            first = sql.select(t.ticket).where(self._free).order_by(t.ticket).limit(1).scalar_subquery()
            update = (
                sql.update(_TICKETS)
                .where(self._free, t.ticket == first)
                .values(owner=self.owner, expires=self._now + self.lease, attempts=t.attempts + 1)
            )
            if self._change(update):
                row = self._row(sql.select(t.ticket, t.trial, t.attempts).where(self._mine))
                return Ticket(row[0], row[1], row[2])
            if not self.claimable():
                return None

    def claimable(self) -> int:
        """How many rows are free now."""
        self._free_the_dead()
        return self._scalar(sql.select(sql.func.count()).where(self._free))

    def bind(self, ticket: Ticket, trial: int) -> None:
        """Note which Optuna trial belongs to a ticket."""
        self._change(sql.update(_TICKETS).where(self._is(ticket)).values(trial=trial))

    def renew(self, ticket: Ticket) -> bool:
        """Prolong the lease; False where another worker has the ticket by now."""
        update = sql.update(_TICKETS).where(self._mine, self._is(ticket))
        return bool(self._change(update.values(expires=self._now + self.lease)))

    def done(self, ticket: Ticket, outcome: str) -> None:
        """Close a ticket for good."""
        self._change(
            sql.update(_TICKETS)
            .where(self._is(ticket), _TICKETS.c.outcome.is_(None))
            .values(outcome=outcome, owner=None, expires=0.0)
        )

    def release(self, ticket: Ticket) -> None:
        """Give a ticket back, as if it had not been tried: the person stopped, not the trial.

        One that has no trial yet keeps its attempt, as a sign that a trial may have been made for it.
        """
        t = _TICKETS.c
        update = sql.update(_TICKETS).where(self._mine, self._is(ticket))
        begun = sql.case((t.trial.is_(None), t.attempts), else_=t.attempts - 1)
        self._change(update.values(owner=None, expires=0.0, attempts=begun))

    def count(self) -> Counter[str]:
        """How many rows there are of each outcome; open ones count as ``open``."""
        t = _TICKETS.c
        query = sql.select(t.outcome, sql.func.count()).where(t.study == self.study).group_by(t.outcome)
        with self.engine.connect() as connection:
            return Counter({outcome or "open": n for outcome, n in connection.execute(query)})

    def failed(self) -> int:
        """How many rows have failed: asked before every trial, so it counts only these."""
        t = _TICKETS.c
        return self._scalar(sql.select(sql.func.count()).where(t.study == self.study, t.outcome == "failed"))

    def _is(self, ticket: Ticket) -> sql.ColumnElement[bool]:
        return sql.and_(_TICKETS.c.study == self.study, _TICKETS.c.ticket == ticket.number)

    def _free_the_dead(self) -> None:
        """Free rows held by processes of this machine that no longer exist, before their lease is over."""
        t = _TICKETS.c
        query = sql.select(t.owner).where(t.study == self.study, t.outcome.is_(None), t.owner > "")
        with self.engine.connect() as connection:
            owners = [owner for (owner,) in connection.execute(query)]
        for owner in owners:
            if not _alive(owner):
                self._change(
                    sql.update(_TICKETS)
                    .where(t.study == self.study, t.owner == owner, t.outcome.is_(None))
                    .values(owner=None, expires=0.0)
                )

    def _change(self, statement: sql.Update) -> int:
        with self.engine.begin() as connection:
            return connection.execute(statement).rowcount

    def _scalar(self, query: sql.Select[Any]) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _row(self, query: sql.Select[Any]) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(query).one()


def _machine() -> str:
    """This machine and, in a container, its own numbering of processes."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        space = boot = ""
    return f"{socket.gethostname()}/{boot}{space}"


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks, so that a number used again is not taken for it.

    Empty for one that is gone, or killed and not yet waited for by its parent.
    """
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    except (OSError, IndexError):
        return ""


def _owner() -> str:
    return f"{_machine()}|{os.getpid()}|{_started(os.getpid())}|{uuid.uuid4().hex[:8]}"


def _alive(owner: str) -> bool:
    """Whether a worker may still live: certain only on this machine."""
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
