"""One run, and everything that is written into it.

Every write goes into the run's journal on this disk. The shipper sends it to MLflow from a thread
of its own, so a store that is away, slow or broken costs a training neither time nor its end.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config.compose import flat
from pipeline.disk import FULL
from pipeline.records import EpochRecord
from pipeline.tracking.connection import first_line
from pipeline.tracking.journal import Journal, Line, now_ms, read_state
from pipeline.tracking.kept_graphs import KeptGraphs
from pipeline.tracking.model_files import write_model_files

if TYPE_CHECKING:
    from pipeline.tracking.shipper import Shipper

KEY_TAG = "pipeline.key"
# MLflow's kind of our experiments: trainings, and no work with language models.
EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}
MODEL_TAG = "model.sha256"
NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"  # the description on a run's page, in Markdown
BEST_RUN_TAG = "seeds.best_run"
MAX_PARAM_LENGTH = 6000  # MLflow's limit
MAX_DIGEST_LENGTH = 8  # letters of a data set's hash that are recorded


class Run:
    """One run of the record.

    key: the run's identity in this project, which MLflow's tag ``pipeline.key`` repeats.
    failures: how many writes the disk has refused for another reason than that it is full.
    Every method raises ``OSError`` on a full disk: the record would have holes, and nothing that is
    trained from then on could be kept.
    """

    def __init__(
        self,
        key: str,
        journal: Journal | None,
        shipper: Shipper | None,
        known: Iterable[Line] = (),
    ) -> None:
        """known: lines that an earlier process has written of this run."""
        self.key = key
        self.failures = 0
        self._journal = journal
        self._shipper = shipper
        self._known = _points(known)
        self._time = 0

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None as long as the store has not made it."""
        return read_state(self._journal.folder).run_id if self._journal else None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record a nested configuration under dotted keys; a value keeps 6,000 characters."""
        texts = {key: "null" if v is None else str(v) for key, v in flat(params).items()}
        self._write("params", values={k: text[:MAX_PARAM_LENGTH] for k, text in texts.items()})

    def log_epoch(self, row: EpochRecord) -> None:
        """Record one epoch; the step axis counts epochs from 1.

        An epoch that a killed process has recorded before stays as it was recorded.
        """
        step = row.epoch + 1
        fresh = {k: v for k, v in row.metrics.items() if (k, step) not in self._known}
        self._write_points(fresh, step)

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        *,
        step: int = 0,
        data: tuple[str, str] | None = None,
    ) -> None:
        """Record numbers as they are: float64, to the last digit.

        data: name and hash of a data set. The numbers are then also those of the run's model on it.
        """
        known = self._known
        fresh = {k: v for k, v in metrics.items() if known.get((k, step)) != v}
        self._write_points(fresh, step, data=data)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; the value of ``mlflow.parentRunId`` or `BEST_RUN_TAG` may be a run's key."""
        self._write("tags", values={key: str(value) for key, value in tags.items()})

    def log_files(self, paths: Sequence[Path], *, folder: str | None = None) -> None:
        """Copy files into the run's artifacts, as they are now."""

        def fill(target: Path) -> None:
            for path in paths:
                shutil.copyfile(path, target / path.name)

        self._keep("files", fill, folder=folder)

    def log_text(self, text: str, name: str) -> None:
        """Write one text artifact."""
        self._keep("files", lambda target: _write_text(target / name, text), folder=None)

    def log_dataset(
        self, *, name: str, digest: str, source: str, profile: Mapping[str, Any]
    ) -> None:
        """Record the data set as the run's input, where the UI shows "Datasets"."""
        digest = digest[:MAX_DIGEST_LENGTH]
        self._write("dataset", name=name, digest=digest, source=source, profile=dict(profile))

    def log_model(
        self,
        network: Any,
        example: Any,
        *,
        name: str,
        weights_sha256: str,
        requirements: Sequence[str],
        metadata: Mapping[str, Any],
        graphs: KeptGraphs | None = None,
    ) -> None:
        """Record a torch network as a logged model, so that MLflow can show, load and serve it.

        Numbers that are recorded later with their data set belong to it.
        example: ``[4, C, H, W]`` float32 numpy, standardised as in training.
        requirements: lines of a pip requirements file.  metadata: kept in the model's description.
        graphs: of networks that were exported before.
        """

        def fill(target: Path) -> None:
            write_model_files(
                target / "model",
                network,
                example,
                requirements=requirements,
                metadata=metadata,
                graphs=graphs,
            )

        self._keep("model", fill, inner="model", name=name, sha256=weights_sha256)

    def finish(self, status: str | None = "FINISHED", *, resumable: bool = False) -> None:
        """End the run as FINISHED, FAILED or KILLED; wait a short time until MLflow confirms it.

        status: None leaves the run in MLflow as it is.  resumable: the run may go on later.
        """
        self._write("end", status=status, t=now_ms(), resumable=resumable)
        if self._journal is None or self._shipper is None:
            return
        self._attempt("end of the run", self._journal.sync)
        self._shipper.finish(self._journal)
        if self.failures:
            print(
                f"warning: {self.failures} writes of the record failed; "
                "the results on disk are complete.",
                file=sys.stderr,
            )

    def _write_points(
        self, values: Mapping[str, float], step: int, *, data: tuple[str, str] | None = None
    ) -> None:
        if values:
            floats = {name: float(value) for name, value in values.items()}
            self._time = max(now_ms(), self._time + 1)  # of two values the later one counts
            of_data = {} if data is None else {"data": [data[0], data[1][:MAX_DIGEST_LENGTH]]}
            self._write("metrics", t=self._time, step=step, values=floats, **of_data)

    def _keep(
        self, op: str, fill: Callable[[Path], None], *, inner: str = "", **values: Any
    ) -> None:
        """Copy files into the journal, and write the line that names their folder.

        inner: the folder below the new one that the line names.
        """
        journal = self._journal
        if journal is None:
            return

        def keep() -> None:
            target = journal.new_folder()
            try:
                fill(target)
                kept = str((target / inner).relative_to(journal.folder))
                journal.write(op, kept=kept, **values)
            except BaseException:  # a signal too leaves no half of a folder
                shutil.rmtree(target, ignore_errors=True)
                raise

        self._attempt(op, keep)

    def _write(self, op: str, **values: Any) -> None:
        journal = self._journal
        if journal is not None:
            self._attempt(op, lambda: journal.write(op, **values))

    def _attempt(self, subject: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno in FULL:
                raise
            self.failures += 1
            if self.failures == 1:
                print(
                    f"warning: the record of the run did not take its {subject}: "
                    f"{first_line(error)}. Training goes on.",
                    file=sys.stderr,
                )
        if self._shipper is not None:
            self._shipper.wake()


class NoRun(Run):
    """Takes the place of a run where tracking is off: its methods write nothing."""

    def __init__(self) -> None:
        super().__init__("", None, None)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _points(lines: Iterable[Line]) -> dict[tuple[str, int], float]:
    """Return (name, step) → the last value that lines of a journal hold."""
    return {
        (name, line["step"]): value
        for line in lines
        if line["op"] == "metrics"
        for name, value in line["values"].items()
    }
