"""The lease of a slot, renewed by a thread while its trial runs."""

from __future__ import annotations

import contextlib
import threading

from sqlalchemy.exc import SQLAlchemyError

from pipeline.sweep.budget import Budget, Slot
from pipeline.sweep.trial import RunningTrial


class Lease:
    """Holds a slot inside a ``with`` block; an exception in the block gives the slot back.

    lost: another worker has claimed the slot, because this one did not renew in time.
    trial: the running trial, which is marked as lost too.
    """

    def __init__(self, budget: Budget, slot: Slot) -> None:
        self.budget = budget
        self.slot = slot
        self.lost = False
        self.trial: RunningTrial | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if kind is not None:
            with contextlib.suppress(SQLAlchemyError):  # a full disk: the lease will end
                self.budget.release(self.slot)

    def holds(self) -> bool:
        """Renew the lease now; return whether the slot is still this worker's."""
        if not self.lost and not self.budget.renew(self.slot):
            self._lose()
        return not self.lost

    def _lose(self) -> None:
        self.lost = True
        if self.trial:
            self.trial.lost = True

    def _renew(self) -> None:
        while not self._over.wait(self.budget.lease / 4):
            try:
                renewed = self.budget.renew(self.slot)
            except SQLAlchemyError:  # a locked or restarting database: the next turn tries again
                continue
            if not renewed:
                self._lose()
                return
