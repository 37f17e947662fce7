"""The stage ``train``: processed data and settings → ``models/<name>/``, history, and a tracked run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Settings
from pipeline.data.batches import standardisation
from pipeline.data.store import load_card, load_for_training
from pipeline.diagnosis import Context, Diagnosis, History
from pipeline.diagnosis.verdict import HEALTHY
from pipeline.errors import TrainingError
from pipeline.evaluation.signal_file import FILE_NAME, write_signals
from pipeline.evaluation.tables import write_history_csv
from pipeline.files import write_atomically
from pipeline.models.build import Architecture, build_network, count_parameters
from pipeline.models.saved import save_model
from pipeline.records import DataCard, EpochRecord, Prepared
from pipeline.reporting import learning_curves
from pipeline.reporting.style import save_png
from pipeline.stages import provenance
from pipeline.stages.diagnose import tags_of, verdict_of
from pipeline.stages.sweep import STUDY, TRIAL, trial_tags
from pipeline.sweep.trial import METRICS, OBJECTIVE, RUN_ID, VERDICT, RunningTrial
from pipeline.tracking import MODEL_TAG, Run, TensorBoard, Tracker
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.fit import Diverged, FitResult, fit, images_of, is_main_process
from pipeline.training.progress import epoch_line
from pipeline.training.recorder import Observer

log = logging.getLogger(__name__)


def check(settings: Settings, *, root: Path) -> None:
    """Raise what `train` would, as far as that shows without reading images: missing data, a wrong network."""
    card = load_card(root / "data" / "processed" / settings.data.name)
    build_network(architecture(settings, card), seed=settings.seed)


def train(
    settings: Settings,
    values: Mapping[str, Any],
    *,
    root: Path,
    output: Path,
    trial: RunningTrial | None = None,
) -> float | list[float]:
    """Train one model and return its objective at the kept epoch: one number, or a list of several.

    values: the resolved configuration, as recorded.  root: the project.  output: where ``models/``
    and ``results/`` are written (the root; in a sweep the folder of the job).  trial: of the sweep
    that this run belongs to; a pruned one leaves its history, but no model.
    """
    say: Callable[[str], None] = partial(print, flush=True) if trial is None else log.info
    prepared = _prepared(root / "data" / "processed" / settings.data.name)
    network = build_network(architecture(settings, prepared.card), seed=settings.seed)
    parameters = count_parameters(network)
    if not is_main_process():
        result = fit(network, prepared, settings=settings, resume=SharedFolder())
        return _objective(settings, _kept(result), _summary(result, parameters=parameters))
    shown = len(images_of(prepared, settings, channels_last=False).train_indices)
    say(f"{settings.name}: {parameters:,} parameters, {shown:,} training images")
    resume = ResumeFolder(root / "checkpoints", provenance.resume_key(values, prepared.card))
    with _tracked(settings, values, prepared, root=root, resume=resume, trial=trial) as run:
        observers: list[Observer] = [lambda row: say(epoch_line(row, max_epochs=settings.trainer.max_epochs))]
        observers += [run.log_epoch] if run else []
        if settings.tracking.tensorboard:
            observers.append(TensorBoard(root / "outputs" / "tensorboard" / settings.name).log_epoch)
        if trial:
            observers.append(partial(_report, trial, settings))
        try:
            result = fit(
                network,
                prepared,
                settings=settings,
                observers=observers,
                signal_observers=[run.log_epoch] if run and trial is None else [],
                resume=resume,
                show_progress=trial is None,
            )
        except Diverged as error:
            files = _write_measured(values, error, output / "results" / settings.name)
            found = _verdict(settings, values, prepared, error, kept_epoch=None)
            if run:
                run.log_files(files)
            if found and run:
                run.set_tags(tags_of(found))
            if found and found.findings and trial is None:
                say(_told(settings.name, found))
            raise
        summary = _summary(result, parameters=parameters)
        verdict = _verdict(settings, values, prepared, result, kept_epoch=result.kept_epoch)
        if run and verdict:
            run.set_tags(tags_of(verdict))
        if trial and not trial.lost:
            if verdict:
                trial.note(VERDICT, verdict.verdict)
            trial.note(OBJECTIVE, settings.objective)
            trial.note(METRICS, {**_kept(result), **_sizes(summary)})
        if trial is None or not (trial.pruned or trial.lost):
            digest, files = _write(settings, values, prepared, result, summary, output=output, trial=trial)
            if run:
                with_model = settings.tracking.model if settings.tracking.model != "auto" else trial is None
                _record(
                    run,
                    settings,
                    prepared,
                    result,
                    summary,
                    digest=digest,
                    files=files,
                    model=with_model,
                )
        else:
            _write_measured(values, result, output / "results" / settings.name)
    if trial is None or not trial.lost:
        resume.finish()
    else:
        resume.release()  # the worker that has this trial now goes on from here
    kept = _kept(result)
    say(
        f"{settings.name}: val accuracy {kept['val/accuracy']:.2%}, in {summary['seconds']:.0f} s, models/{settings.name}/"
    )
    if verdict and verdict.verdict != HEALTHY:
        say(_told(settings.name, verdict))
    return _objective(settings, kept, summary)


def _told(name: str, found: Diagnosis) -> str:
    what = f"{found.verdict.replace('_', ' ')} ({found.confidence:.2f})"
    return f"{name}: {what}; why, and what to do: pipeline diagnose name={name}"


def _verdict(
    settings: Settings,
    values: Mapping[str, Any],
    prepared: Prepared,
    result: FitResult | Diverged,
    *,
    kept_epoch: int | None,
) -> Diagnosis | None:
    context = Context.of(prepared.card, values, kept_epoch=kept_epoch)
    return verdict_of(History.of(result.history, result.signals, context, name=settings.name))


@cache
def _prepared(folder: Path) -> Prepared:
    """The data, read and checked once a process: a worker of a sweep trains on it many times."""
    return load_for_training(folder)


def _report(trial: RunningTrial, settings: Settings, row: EpochRecord) -> bool:
    """Tell the sweep this epoch's objective; True when the trial is to stop."""
    first = settings.objective if isinstance(settings.objective, str) else settings.objective[0]
    value = row.metrics.get(first)
    return False if value is None else trial.report(value, step=row.epoch + 1)


def _objective(
    settings: Settings, kept: Mapping[str, float], summary: Mapping[str, Any]
) -> float | list[float]:
    known = {**kept, **_sizes(summary)}
    wanted = settings.objective
    return float(known[wanted]) if isinstance(wanted, str) else [float(known[name]) for name in wanted]


def _sizes(summary: Mapping[str, Any]) -> dict[str, float]:
    """What a run may be judged by beside its metrics."""
    return {key: float(summary[key]) for key in ("parameters", "seconds")}


def architecture(settings: Settings, card: DataCard) -> Architecture:
    """Return what `build_network` needs, from the settings and the data's shape."""
    return Architecture(
        model=settings.model,
        activation=settings.activation,
        init=settings.init,
        input_shape=card.image_shape,
        num_classes=card.num_classes,
        allow_targets=settings.allow_targets,
    )


@contextmanager
def _tracked(
    settings: Settings,
    values: Mapping[str, Any],
    prepared: Prepared,
    *,
    root: Path,
    resume: ResumeFolder,
    trial: RunningTrial | None,
) -> Iterator[Run | None]:
    """A run that ends as FINISHED, FAILED or KILLED, whatever happens inside; None without tracking."""
    if not settings.tracking.enabled:
        with _released(resume):
            yield None
        return
    tracker = _tracker(settings.tracking.uri, settings.tracking.experiment, root)
    tags = provenance.tags(values, prepared.card, root=root)
    if trial:
        # The tags tell: a killed worker may have made the run and noted nothing.
        own = trial_tags(trial)
        known = {k: own[k] for k in (STUDY, TRIAL)}
        resume_id = None if trial.fresh else tracker.find_tagged(known)
        run = tracker.start(f"{settings.name} {trial.number}", tags={**tags, **own}, resume_id=resume_id)
        trial.note(RUN_ID, run.run_id)
    else:
        resume_id = resume.read_note().get("run_id")
        run = tracker.start(settings.name, tags=tags, resume_id=resume_id)
    resume.write_note({"run_id": run.run_id})
    if resume_id is None:
        run.log_params(values)
    status = "KILLED"
    try:
        with _released(resume):
            yield run
        status = "KILLED" if trial and trial.pruned else "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if trial is None or not trial.lost:
            run.finish(status)


@cache
def _tracker(uri: str, experiment: str, root: Path) -> Tracker:
    """One connection a process and store: opening one costs more than a small trial."""
    return Tracker(uri, experiment=experiment, root=root)


@contextmanager
def _released(resume: ResumeFolder) -> Iterator[None]:
    """Keep the checkpoint for whoever resumes, but not after a divergence: that would come again."""
    try:
        yield
    except TrainingError:
        resume.finish()
        raise
    except BaseException:  # a full disk, a lost device, Ctrl-C: nothing that was reached is lost
        resume.release()
        raise


def _kept(result: FitResult) -> Mapping[str, float]:
    return next(row.metrics for row in result.history if row.epoch == result.kept_epoch)


def _summary(result: FitResult, *, parameters: int) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "epochs": len(result.history),
        "kept_epoch": result.kept_epoch + 1,
        "stopped_early": result.stopped_early,
        "resumed_from_epoch": result.resumed_from,
        # Over all epochs, also those that a killed process had done.
        "seconds": round(sum(row.metrics["time/epoch_s"] for row in result.history), 1),
        "accelerator": result.accelerator,
        "precision": result.precision,
        "channels_last": result.channels_last,
        "num_threads": result.num_threads,
    }


def _write(
    settings: Settings,
    values: Mapping[str, Any],
    prepared: Prepared,
    result: FitResult,
    summary: Mapping[str, Any],
    *,
    output: Path,
    trial: RunningTrial | None,
) -> tuple[str, list[Path]]:
    card = prepared.card
    results = output / "results" / settings.name
    files = _write_measured(values, result, results)
    if trial is None:  # the UI draws a trial's curves from its metrics
        files.append(results / "learning_curves.png")
        save_png(learning_curves.plot(result.history), files[-1])
    description = {
        "settings": dict(values),
        "data_sha256": provenance.data_sha256(card),
        "input_shape": list(card.image_shape),
        "class_names": list(card.class_names),
        "mean": list(card.mean),
        "std": list(card.std),
        "summary": summary,
    }
    digest = save_model(output / "models" / settings.name, result.network, description)
    return digest, files


def _write_measured(values: Mapping[str, Any], result: FitResult | Diverged, folder: Path) -> list[Path]:
    """Write what was measured and by which settings, also of a run that diverged: its remedy needs it most."""
    files = [folder / "history.csv", folder / FILE_NAME, folder / provenance.CONFIG_FILE]
    files[2].unlink(missing_ok=True)  # the last to be written: where it is, the others are of its run
    write_history_csv(files[0], result.history)
    # Also of a run without signals: a file of the run before must not be taken for this one's.
    write_signals(files[1], result.signals)
    write_atomically(files[2], (json.dumps(values, indent=2) + "\n").encode())
    return files


def _record(
    run: Run,
    settings: Settings,
    prepared: Prepared,
    result: FitResult,
    summary: Mapping[str, Any],
    *,
    digest: str,
    files: Sequence[Path],
    model: bool,
) -> None:
    card = prepared.card
    run.set_tags({MODEL_TAG: digest, **{f"training.{key}": str(value) for key, value in summary.items()}})
    run.log_metrics(
        {f"kept/{key}": value for key, value in _kept(result).items()}, step=result.kept_epoch + 1
    )
    run.log_dataset(
        name=card.name,
        digest=provenance.data_sha256(card),
        source=f"data/processed/{card.name}",
        profile={"class_counts": {split: list(counts) for split, counts in card.class_counts.items()}},
    )
    run.log_files(files)
    if not model:
        return
    shift, scale = standardisation(card.mean, card.std)
    example = (shift.numpy() + scale.numpy() * prepared.val.images[:4].astype(np.float32)).astype(np.float32)
    run.log_model(result.network, example, requirements=_requirements())


def _requirements() -> list[str]:
    """What a machine that serves the model needs: given, since guessing it takes MLflow 13 s."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("torch", "numpy", "mlflow")]
