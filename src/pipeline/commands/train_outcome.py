"""The outcome of a training: written to its files, to its run in MLflow, and to its trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.diagnosis import Diagnosis
from pipeline.records import Prepared
from pipeline.reporting import learning_curves
from pipeline.reporting.style import save_png
from pipeline.runs.files import RunFiles
from pipeline.runs.note import of_model, of_training
from pipeline.runs.role import Role
from pipeline.runs.tracked import Curves, record_network, record_signals, record_trained
from pipeline.runs.train_once import TrainedRun, diagnosis_of
from pipeline.runs.verdict import tags_of
from pipeline.tracking import NOTE_TAG, Run
from pipeline.training.fit import Diverged


@dataclass(frozen=True)
class OutcomeKeeper:
    """Writes the outcome of one training: to the disk, to its tracked run, to its trial.

    root: the project; the files of a trial lie elsewhere.
    """

    config: RunConfig
    data: Prepared
    role: Role
    files: RunFiles
    record: Run
    root: Path

    @cached_property
    def curves(self) -> Curves:
        """The writer of the run's curves."""
        return Curves(self.record)

    def keep_diverged(self, error: Diverged) -> None:
        """Write what was measured before the loss became infinite or NaN, with its diagnosis."""
        config, history, signals = self.config, error.history, error.signals
        self.record.log_files(self.files.write_measured(config.values, history, signals))
        record_signals(self.record, signals)
        diagnosis = diagnosis_of(config, self.data.card, history, signals, kept_epoch=None)
        if diagnosis is None:
            return
        name = config.settings.name
        note = of_model(name, {}, diagnosis) if self.role.attended else of_training({}, diagnosis)
        description = {NOTE_TAG: f"The loss was not finite. {note}"}
        self.record.set_tags({**tags_of(diagnosis), **description})
        if diagnosis.findings and self.role.attended:
            self.role.say(verdict_line(name, diagnosis))

    def keep_trained(self, run: TrainedRun) -> str | None:
        """Write a run that reached its end; return the hash of its model's weights.

        None for a trial that was stopped, which leaves no model.
        """
        if run.diagnosis:
            self.record.set_tags(tags_of(run.diagnosis))
        self.role.trained(run, self.config.settings.objective)

        values = self.config.values
        paths = self.files.write_measured(
            values, run.history, run.signals, resumed_from_epoch=run.resumed_from
        )
        if not self.role.leaves_model:
            return None
        if self.role.attended:  # MLflow's UI draws the curves of trials
            paths.append(self.files.results / "learning_curves.png")
            save_png(learning_curves.plot(run.history), paths[-1])
        digest = self.files.write_model(run, values, self.data)

        self._record_network(run, digest)
        record_trained(self.record, run, self.data, paths, weights_sha256=digest)
        if self.role.attended:
            record_signals(self.record, run.signals)
        return digest

    def _record_network(self, run: TrainedRun, weights_sha256: str) -> None:
        """Add the network to the tracked run where ``tracking.model`` asks for it."""
        wanted = self.config.settings.tracking.model
        if wanted is True or (wanted == "auto" and self.role.attended):
            record_network(
                self.record,
                run.network,
                self.data.card,
                self.data.val.images,
                name=self.config.settings.name,
                sha256=weights_sha256,
                root=self.root,
            )


def verdict_line(name: str, diagnosis: Diagnosis) -> str:
    """Return the line that ends a training whose verdict is not healthy."""
    why = f"why, and what to do: pipeline diagnose name={name}"
    return f"{name}: diagnosis: {diagnosis.in_words}; {why}"
