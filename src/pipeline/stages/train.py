"""The stage ``train``: processed data and settings → ``models/<name>/``, history, and a tracked run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import Settings
from pipeline.data.batches import standardisation
from pipeline.data.store import load_card, load_prepared
from pipeline.errors import TrainingError
from pipeline.evaluation.tables import write_history_csv
from pipeline.models.build import Architecture, build_network, count_parameters
from pipeline.models.saved import save_model
from pipeline.records import DataCard, Prepared
from pipeline.reporting import learning_curves
from pipeline.reporting.style import save_png
from pipeline.stages import provenance
from pipeline.tracking import MODEL_TAG, Run, TensorBoard, Tracker
from pipeline.training.checkpoints import ResumeFolder, SharedFolder
from pipeline.training.fit import FitResult, fit, is_main_process
from pipeline.training.progress import print_epoch
from pipeline.training.recorder import Observer


def check(settings: Settings, *, root: Path) -> None:
    """Raise what `train` would, as far as that shows without reading images: missing data, a wrong network."""
    card = load_card(root / "data" / "processed" / settings.data.name)
    build_network(_architecture(settings, card), seed=settings.seed)


def train(settings: Settings, values: Mapping[str, Any], *, root: Path, output: Path) -> float:
    """Train one model and return its val/loss at the kept epoch.

    values: the resolved configuration, as recorded.  root: the project.  output: where ``models/``
    and ``results/`` are written (the root; in a sweep the folder of the job).
    """
    prepared = load_prepared(root / "data" / "processed" / settings.data.name)
    network = build_network(_architecture(settings, prepared.card), seed=settings.seed)
    parameters = count_parameters(network)
    if not is_main_process():
        result = fit(network, prepared, settings=settings, resume=SharedFolder())
        return _kept(result)["val/loss"]
    print(f"{settings.name}: {parameters:,} parameters, {len(prepared.train):,} training images")
    resume = ResumeFolder(root / "checkpoints", provenance.resume_key(values, prepared.card))
    with _tracked(settings, values, prepared, root=root, resume=resume) as run:
        observers: list[Observer] = [partial(print_epoch, max_epochs=settings.trainer.max_epochs)]
        observers += [run.log_epoch] if run else []
        if settings.tracking.tensorboard:
            observers.append(TensorBoard(root / "outputs" / "tensorboard" / settings.name).log_epoch)
        result = fit(network, prepared, settings=settings, observers=observers, resume=resume)
        summary = _summary(result, parameters=parameters)
        digest, files = _write(settings, values, prepared, result, summary, output=output)
        if run:
            _record(run, settings, values, prepared, result, summary, digest=digest, files=files)
    resume.finish()
    kept = _kept(result)
    print(
        f"{settings.name}: val accuracy {kept['val/accuracy']:.2%}, in {summary['seconds']:.0f} s, models/{settings.name}/"
    )
    return kept["val/loss"]


def _architecture(settings: Settings, card: DataCard) -> Architecture:
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
    settings: Settings, values: Mapping[str, Any], prepared: Prepared, *, root: Path, resume: ResumeFolder
) -> Iterator[Run | None]:
    """A run that ends as FINISHED, FAILED or KILLED, whatever happens inside; None without tracking."""
    if not settings.tracking.enabled:
        with _released(resume):
            yield None
        return
    tracker = Tracker(settings.tracking.uri, experiment=settings.tracking.experiment, root=root)
    resume_id = resume.read_note().get("run_id") if resume.last else None
    tags = provenance.tags(values, prepared.card, root=root)
    run = tracker.start(settings.name, tags=tags, resume_id=resume_id)
    resume.write_note({"run_id": run.run_id})
    if resume_id is None:
        run.log_params(values)
    status = "KILLED"
    try:
        with _released(resume):
            yield run
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        run.finish(status)


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
    }


def _write(
    settings: Settings,
    values: Mapping[str, Any],
    prepared: Prepared,
    result: FitResult,
    summary: Mapping[str, Any],
    *,
    output: Path,
) -> tuple[str, list[Path]]:
    card = prepared.card
    results = output / "results" / settings.name
    results.mkdir(parents=True, exist_ok=True)
    history, curves = results / "history.csv", results / "learning_curves.png"
    write_history_csv(history, result.history)
    save_png(learning_curves.plot(result.history), curves)
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
    return digest, [history, curves]


def _record(
    run: Run,
    settings: Settings,
    values: Mapping[str, Any],
    prepared: Prepared,
    result: FitResult,
    summary: Mapping[str, Any],
    *,
    digest: str,
    files: Sequence[Path],
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
    run.log_text(json.dumps(values, indent=2), "config.json")
    run.log_files(files)
    shift, scale = standardisation(card.mean, card.std)
    example = (shift.numpy() + scale.numpy() * prepared.val.images[:4].astype(np.float32)).astype(np.float32)
    run.log_model(result.network, example, requirements=_requirements())


def _requirements() -> list[str]:
    """What a machine that serves the model needs: given, since guessing it takes MLflow 13 s."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("torch", "numpy", "mlflow")]
