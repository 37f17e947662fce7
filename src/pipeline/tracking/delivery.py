"""The way of a journal into MLflow: in order, and each row once.

A line may be sent twice: when an answer was lost, or the process died before it noted the answer.
The second time changes nothing. A metric's row carries the time of its line, and MLflow keeps
equal rows once; parameters, tags, inputs, artifacts and the end of a run replace themselves. A run
is found again by its key, which it carries as a tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.tracking.connection import short_reason
from pipeline.tracking.destination import Destination, Latest, Point
from pipeline.tracking.journal import (
    Line,
    State,
    all_journals,
    folders_of,
    lines_from,
    read_head,
    read_state,
    write_state,
)
from pipeline.tracking.run import BEST_RUN_TAG, KEY_TAG, MODEL_TAG

ENDED_TAG = "pipeline.ended"
# Tags whose value names another run.
RUN_TAGS = ("mlflow.parentRunId", BEST_RUN_TAG)
MAX_METRICS_A_CALL = 1000  # MLflow's limit
MOST_UPLOADS = 3  # of one file that the store does not list afterwards


class NotYet(Exception):
    """The run that a journal belongs to, or its parent, is not in MLflow yet."""


class Gone(Exception):
    """The run that a journal belongs to is not in the store, and must not be made."""


class Delivery:
    """Sends the lines of one journal from the first that is not confirmed.

    The caller holds the journal's lock. Raises `NotYet`, and whatever the store raises; then the
    confirmed part is noted, and the next call goes on there.
    confirmed: called after each confirmation.  alive: whether the process that wrote the journal
    lives; else no line makes its run RUNNING again.
    """

    def __init__(
        self,
        folder: Path,
        store: Destination,
        *,
        alive: bool = True,
        confirmed: Callable[[], None] = lambda: None,
    ) -> None:
        head = read_head(folder)
        assert head is not None
        self.folder, self.store, self.head = folder, store, head
        self.state = read_state(folder)
        self._latest = Latest()
        self._checked = False
        self._alive = alive
        self._confirmed = confirmed

    def send(self) -> None:
        """Send everything that the journal holds now."""
        if not any(True for _ in lines_from(self.folder, self.state.offset)):
            return
        try:
            run_id = self._run()
        except Gone:
            self._confirm(self._size())
            return
        for batch, end in _batches(lines_from(self.folder, self.state.offset)):
            try:
                self._send(run_id, batch)
            except Exception as error:
                if not self.store.refuses(error):
                    raise
                if not self.store.has_run(run_id):  # deleted: all of it again, into a new one
                    self.state = State(refused=self.state.refused, reason=self.state.reason)
                    self._note()
                    raise NotYet(f"run {run_id} was deleted") from error
                self._one_by_one(run_id, batch)
            self._confirm(end)

    # ---- which run -------------------------------------------------------------------------

    def _run(self) -> str:
        known = self.state.run_id
        if known is not None:
            if not self._checked and not self.store.has_run(known):
                self.state = State()
            elif not self._checked and self.head.target != "own":
                # The same command, given again, may have recorded the same numbers since.
                self._latest = self.store.latest(known)
            self._checked = True
        if self.state.run_id is None:
            self._find_or_make()
        assert self.state.run_id is not None
        return self.state.run_id

    def _find_or_make(self) -> None:
        head = self.head
        found = self.store.first_of_key(head.experiment, head.key) if head.create else None
        if found is not None and head.target == "model":
            self.state.created = True  # by an earlier attempt, whose answer was lost
        found = found or self._found()
        if found is None and not head.create:
            raise Gone
        if found is None:
            made = self.store.create(
                head.experiment, head.name, tags=self._sent_tags(self._own_tags()), ms=head.began_ms
            )
            # A lost answer to an earlier call may have made the run too: the first one counts.
            found = self.store.first_of_key(head.experiment, head.key) or made
            self.state.created = True
            self._latest = Latest()  # a run that was deleted may have had something
        else:
            self._latest = self.store.latest(found)
        self.state.run_id, self._checked = found, True
        self._note()

    def _found(self) -> str | None:
        head = self.head
        if head.target == "existing":
            return self._resolved(str(head.tags["address"]))
        if head.target == "own":
            return None
        digest = head.tags[MODEL_TAG]
        found = self.store.latest_tagged(head.experiment, MODEL_TAG, digest, head.name)
        if found is None:
            self._wait_for_model(digest)
        return found

    def _wait_for_model(self, digest: str) -> None:
        """Raise `NotYet` where another journal, which is not sent yet, holds the run of a model."""
        for folder, head in all_journals(self.store.root):
            if folder == self.folder or head.target != "own" or head.uri != self.head.uri:
                continue
            confirmed = read_state(folder).offset
            for line, end in lines_from(folder, 0):
                tags = line["values"] if line["op"] == "tags" and end > confirmed else {}
                if tags.get(MODEL_TAG) == digest:
                    raise NotYet(f"the run of the model {digest[:12]}…")

    def _own_tags(self) -> dict[str, str]:
        return {**self.head.tags, KEY_TAG: self.head.key}

    def _sent_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return tags with MLflow's id of a run in place of its key."""
        named = {key: self._resolved(tags[key]) for key in RUN_TAGS if key in tags}
        return {**tags, **{key: run_id for key, run_id in named.items() if run_id}}

    def _resolved(self, address: str) -> str | None:
        """Return MLflow's id of a run that is named by its key or its id, or None."""
        folders = [
            folder
            for folder in folders_of(self.store.root, address)
            if (head := read_head(folder)) is not None and head.uri == self.head.uri
        ]
        for folder in folders:
            if known := read_state(folder).run_id:
                return known
        found = self.store.resolved(self.head.experiment, address)
        if found is None and folders and self.folder not in folders:
            raise NotYet(f"the run {address}")
        return found

    # ---- the lines -------------------------------------------------------------------------

    def _send(self, run_id: str, lines: list[Line]) -> None:
        op = lines[0]["op"]
        if op == "metrics":
            points = [point for line in lines for point in self._points(line)]
            for start in range(0, len(points), MAX_METRICS_A_CALL):
                self.store.log_metrics(run_id, points[start : start + MAX_METRICS_A_CALL])
        else:
            getattr(self, f"_send_{op}", self._send_damaged)(run_id, lines[0])

    def _one_by_one(self, run_id: str, lines: list[Line]) -> None:
        """Send every value of refused lines alone, so that one bad value takes no other along."""
        for line in lines:
            whole = line.get("values")
            parts = [{**line, "values": {k: v}} for k, v in whole.items()] if whole else [line]
            for part in parts:
                try:
                    self._send(run_id, [part])
                except Exception as error:
                    if not self.store.refuses(error):
                        raise
                    self._refused(short_reason(error))

    def _points(self, line: Line) -> list[Point]:
        data = tuple(line["data"]) if "data" in line else None
        return [
            Point(name, value, line["t"], line["step"], data)
            for name, value in line["values"].items()
            if self._latest.metrics.get(name) != (line["step"], value)
        ]

    def _send_head(self, run_id: str, line: Line) -> None:
        """The run is there, so its head is; a run that was found gets the tags too."""
        if self.head.target == "own" and not self.state.created:
            self._send_tags(run_id, {"values": self._own_tags()})
            self._send_begin(run_id, line)

    def _send_begin(self, run_id: str, line: Line) -> None:
        if self.head.target == "own" and self._alive:
            self.store.go_on(run_id, without=ENDED_TAG)

    def _send_params(self, run_id: str, line: Line) -> None:
        known = self._latest.params  # a run that was found has them
        self.store.log_params(run_id, {k: v for k, v in line["values"].items() if k not in known})

    def _send_tags(self, run_id: str, line: Line) -> None:
        self.store.set_tags(run_id, self._sent_tags(line["values"]))

    def _send_dataset(self, run_id: str, line: Line) -> None:
        self.store.log_dataset(run_id, line)

    def _send_files(self, run_id: str, line: Line) -> None:
        kept, folder = self.folder / line["kept"], line["folder"]
        if not kept.is_dir():
            self._refused(f"{kept}: the files are no longer there")
            return
        for _ in range(MOST_UPLOADS):
            self.store.upload(run_id, kept, folder)
            missing = self.store.missing(run_id, kept, folder)
            if not missing:
                return
        self._refused(f"{missing}: not in the store after {MOST_UPLOADS} uploads")

    def _send_model(self, run_id: str, line: Line) -> None:
        kept = self.folder / line["kept"]
        if not kept.is_dir():
            self._refused(f"{kept}: the model's files are no longer there")
            return
        name, sha256 = line["name"], line["sha256"]
        for _ in range(MOST_UPLOADS):
            missing = self.store.log_model(run_id, kept, name=name, weights_sha256=sha256)
            if not missing:
                return
        self._refused(f"{missing}: not in the store after {MOST_UPLOADS} uploads")

    def _send_end(self, run_id: str, line: Line) -> None:
        self.store.remove_others(self.head.experiment, self.head.key, run_id)
        status = line["status"]
        if status is None or not (self.head.target == "own" or self.state.created):
            return
        if reason := line.get("reason"):  # of a dead process; another one may have ended the run
            if self.store.status(run_id) != "RUNNING":
                return
            self._send_tags(run_id, {"values": {ENDED_TAG: reason}})
        self.store.end(run_id, status, ms=line["t"])

    def _send_damaged(self, run_id: str, line: Line) -> None:
        self._refused("a line of the journal is damaged")

    # ---- the state -------------------------------------------------------------------------

    def _refused(self, reason: str) -> None:
        self.state.refused += 1
        self.state.reason = self.state.reason or reason

    def _confirm(self, offset: int) -> None:
        self.state.offset = offset
        self._note()
        self._confirmed()

    def _note(self) -> None:
        write_state(self.folder, self.state)

    def _size(self) -> int:
        return max((end for _, end in lines_from(self.folder, 0)), default=0)


def _batches(lines: Iterator[tuple[Line, int]]) -> Iterator[tuple[list[Line], int]]:
    """Yield lines that go in one call, with the offset behind them: metrics in a row, else one."""
    batch: list[Line] = []
    size = end = 0
    for line, after in lines:
        count = len(line["values"]) if line["op"] == "metrics" else MAX_METRICS_A_CALL
        if batch and size + count > MAX_METRICS_A_CALL:
            yield batch, end
            batch, size = [], 0
        batch.append(line)
        size, end = size + count, after
    if batch:
        yield batch, end
