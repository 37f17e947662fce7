"""The stage ``diagnose``: a run's history and signals → its verdict, with evidence and remedies."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config.overrides import merge, overrides_of
from pipeline.data.store import load_card
from pipeline.diagnosis import Context, Diagnosis, History, diagnose
from pipeline.diagnosis.as_json import to_json
from pipeline.diagnosis.readers import history_of, read_curves, read_event_files
from pipeline.diagnosis.remedies import Remedy, label, remedies
from pipeline.diagnosis.verdict import UNDETERMINED
from pipeline.errors import ConfigError, DataError, PipelineError
from pipeline.evaluation.signal_file import FILE_NAME, read_signals
from pipeline.evaluation.tables import read_history_csv
from pipeline.files import write_atomically
from pipeline.records import EpochRecord, SignalRecord
from pipeline.reporting import diagnosis_plot, diagnosis_text
from pipeline.reporting.learning_curves import best_epoch
from pipeline.reporting.style import save_png
from pipeline.stages.provenance import CONFIG_FILE
from pipeline.sweep.trial import VERDICT
from pipeline.tracking import Run, Tracker, read_artifact, read_tracked

CONFIDENCE = "diagnosis.confidence"


def diagnose_model(name: str, *, root: Path, output: str = "text") -> Diagnosis:
    """Diagnose ``results/<name>/``; write ``diagnosis.json`` and ``diagnosis.png``; tag the model's run.

    Raises `DataError` where the run has no history.
    """
    history, told = read_own(name, root=root)
    found = diagnose(history)
    offered = remedies(found.findings, history.context.settings)
    folder = root / "results" / name
    files = [folder / "diagnosis.json", folder / "diagnosis.png"]
    write_atomically(files[0], (json.dumps(to_json(found, offered), indent=2) + "\n").encode())
    save_png(diagnosis_plot.plot(history, found), files[1])
    record(told, found, files, root=root)
    tell(found, offered, history.context.settings, root=root, output=output)
    if found.verdict == UNDETERMINED and told and output == "text":
        print(f"  Short runs from its weights may settle it: pipeline diagnose name={name} probe=true")
    return found


def read_own(name: str, *, root: Path, output: Path | None = None) -> tuple[History, Mapping[str, Any]]:
    """Return the history of ``results/<name>/``, and the model's description (empty where it diverged).

    output: where the run has written, if not into the root: the folder of a sweep's trial.
    """
    where = output or root
    folder, path = where / "results" / name, where / "models" / name / "model.json"
    rows = read_history_csv(folder / "history.csv")
    signals = read_signals(folder / FILE_NAME) if (folder / FILE_NAME).is_file() else None
    told = _parsed(path, name) if path.is_file() and not _diverged(rows) else {}
    settings = settings_of(name, root=where) or told.get("settings", {})
    if told and told.get("settings") != settings:
        raise _unreadable(path, name, ValueError(f"it is of another run than {folder / CONFIG_FILE}"))
    try:
        kept = int(told["summary"]["kept_epoch"]) - 1 if told else None
        classes = len(told["class_names"]) if told else None
        context = _context(settings, kept_epoch=kept, num_classes=classes, signals=signals, root=root)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, name, error) from error
    return History.of(rows, signals, context, name=name), told


def settings_of(name: str, *, root: Path) -> Mapping[str, Any]:
    """Return the configuration that ``results/<name>/`` was made by; empty where it was not written down.

    Raises `DataError` for a damaged file.
    """
    path = root / "results" / name / CONFIG_FILE
    if not path.is_file():
        return {}
    settings = _parsed(path, name)
    data = settings.get("data")
    if not isinstance(data, dict) or "name" not in data:
        raise _unreadable(path, name, KeyError("data.name"))
    return settings


def _context(
    settings: Mapping[str, Any],
    *,
    kept_epoch: int | None,
    num_classes: int | None,
    signals: SignalRecord | None,
    root: Path,
) -> Context:
    """What is known of a run of our own: by its data's card, or else by its model or its signals."""
    if settings:
        data = root / "data" / "processed" / settings["data"]["name"]
        if (data / "card.json").is_file():
            return Context.of(load_card(data), settings, kept_epoch=kept_epoch)
    if num_classes is None and signals is not None and "num_classes" in signals.metadata:
        num_classes = int(signals.metadata["num_classes"])
    return Context(num_classes=num_classes, kept_epoch=kept_epoch, settings=settings)


def _parsed(path: Path, name: str) -> Mapping[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        raise _unreadable(path, name, error) from error


def _unreadable(path: Path, name: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: not a run's description ({error!r}). Train it again: pipeline train name={name}"
    )


def _diverged(rows: Sequence[EpochRecord]) -> bool:
    """Whether a run ended without a model: the description beside it is then that of an earlier run."""
    last = rows[-1].metrics if rows else {}
    return any(not math.isfinite(last.get(k, 0.0)) for k in ("train/objective", "train/loss", "val/loss"))


def diagnose_file(path: Path, *, num_classes: int | None, root: Path, output: str = "text") -> Diagnosis:
    """Diagnose a file of curves, or a folder of TensorBoard's event files, whatever framework wrote it."""
    history = (
        read_event_files(path, num_classes=num_classes)
        if path.is_dir()
        else read_curves(path, num_classes=num_classes)
    )
    return _told(history, root=root, output=output)


def diagnose_tracked(
    run_id: str, *, num_classes: int | None, uri: str, root: Path, output: str = "text"
) -> Diagnosis:
    """Diagnose any run of an MLflow store; a run of this project with all its signals."""
    history = tracked_history(run_id, num_classes=num_classes, uri=uri, root=root)
    return _told(history, root=root, output=output)


def tracked_history(run_id: str, *, num_classes: int | None, uri: str, root: Path) -> History:
    """Return the history of any run of an MLflow store; settings are known of a run of this project that ended."""
    name, points = read_tracked(run_id, uri=uri, root=root)
    with TemporaryDirectory() as folder:
        files = {
            wanted: read_artifact(run_id, wanted, uri=uri, root=root, folder=Path(folder))
            for wanted in ("history.csv", FILE_NAME, CONFIG_FILE)
        }
        own = all(files.values())
        if own:
            return _tracked_of_ours(files, name, root=root)
    return history_of(points, context=Context(num_classes=num_classes), name=name)


def _tracked_of_ours(files: Mapping[str, Path | None], name: str, *, root: Path) -> History:
    rows, settings = (
        read_history_csv(files["history.csv"] or Path()),
        json.loads((files[CONFIG_FILE] or Path()).read_text()),
    )
    signals = read_signals(files[FILE_NAME] or Path())
    # A run that diverged has kept nothing.
    kept = _kept(rows) if settings["trainer"]["keep"] == "best" and not _diverged(rows) else None
    context = _context(settings, kept_epoch=kept, num_classes=None, signals=signals, root=root)
    return History.of(rows, signals, context, name=name)


def _kept(rows: Sequence[EpochRecord]) -> int | None:
    """The epoch with the lowest validation loss, whose weights `keep=best` keeps."""
    best = best_epoch(rows)
    return best.epoch if best else None


def _told(history: History, *, root: Path, output: str) -> Diagnosis:
    found = diagnose(history)
    settings = history.context.settings
    tell(found, remedies(found.findings, settings), settings, root=root, output=output)
    return found


def tell(
    found: Diagnosis,
    offered: Mapping[str, Sequence[Remedy]],
    settings: Mapping[str, Any],
    *,
    root: Path,
    output: str,
) -> None:
    """Print a diagnosis, as text for people or as JSON for programs."""
    if output == "json":
        print(json.dumps(to_json(found, offered), indent=2))
        return
    commands: dict[tuple[str, ...], str] = {}
    if settings:
        commands = {
            r.overrides: remedy_command(settings, r.name, r.overrides, root=root)
            for listed in offered.values()
            for r in listed
        }
    diagnosis_text.show(found, offered, commands=commands)


def remedy_command(settings: Mapping[str, Any], remedy: str, overrides: Sequence[str], *, root: Path) -> str:
    """The line to type: the run's own settings with the remedy, under a name of its own."""
    own = [o for o in overrides_of(settings, root=root) if not o.startswith("name=")]
    parts = merge(own, overrides, root=root)
    return shlex.join(["pipeline", "train", f"name={settings['name']}_{label(remedy)}", *parts])


def verdict_of(history: History) -> Diagnosis | None:
    """The diagnosis of a run that has just ended; None where nothing can be said."""
    try:
        return diagnose(history)
    except PipelineError:
        return None


def tags_of(found: Diagnosis) -> dict[str, str]:
    """What a tracked run is tagged with: columns to sort and filter by."""
    return {VERDICT: found.verdict, CONFIDENCE: f"{found.confidence:.3f}"}


def record(told: Mapping[str, Any], found: Diagnosis, files: Sequence[Path], *, root: Path) -> None:
    """Tag the tracked run of a model with its verdict, and add the files to its artifacts."""
    if not told or not told["settings"]["tracking"]["enabled"]:
        return
    tracking = told["settings"]["tracking"]
    tracker = Tracker(tracking["uri"], experiment=tracking["experiment"], root=root)
    run = tracker.find(model_sha256=told["weights_sha256"], name=told["settings"]["name"])
    if run is not None:
        _write(run, found, files)


def _write(run: Run, found: Diagnosis, files: Sequence[Path]) -> None:
    run.set_tags(tags_of(found))
    run.log_files(files)


def parse(overrides: Sequence[str]) -> dict[str, str]:
    """Options of the command: exactly one of ``name=``, ``run=``, ``history=``, and what goes with it."""
    known = ("name", "run", "history", "output", "num_classes", "probe", "probe_epochs")
    options: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in known or not value:
            raise ConfigError(f"{override}: diagnose knows {', '.join(f'{k}=' for k in known)}.")
        options[key] = value
    sources = [key for key in ("name", "run", "history") if key in options]
    if len(sources) > 1:
        raise ConfigError(
            f"{sources[1]}={options[sources[1]]}: give one of name=, run= and history=, not two."
        )
    if options.get("output", "text") not in ("text", "json"):
        raise ConfigError(f"output={options['output']}: must be text or json.")
    classes = options.get("num_classes", "2")
    if not classes.isdecimal() or int(classes) < 2:
        raise ConfigError(f"num_classes={classes}: must be a whole number from 2 up.")
    _check_probe(options)
    return options


def _check_probe(options: Mapping[str, str]) -> None:
    if options.get("probe", "true") not in ("true", "false"):
        raise ConfigError(f"probe={options['probe']}: must be true or false.")
    epochs = options.get("probe_epochs", "1")
    if not (epochs.isascii() and epochs.isdecimal() and int(epochs) >= 1):
        raise ConfigError(f"probe_epochs={epochs}: must be a whole number from 1 up.")
    if options.get("probe") != "true" and "probe_epochs" in options:
        raise ConfigError(
            f"probe_epochs={epochs}: has no effect without probe=true. Leave it out, or add that."
        )
    other = next((key for key in ("run", "history") if key in options), None)
    if options.get("probe") == "true" and other:
        raise ConfigError(
            f"{other}={options[other]}: probes train on from weights, which only a model of this project has. "
            "Use name=<model>, or leave probe=true out."
        )
