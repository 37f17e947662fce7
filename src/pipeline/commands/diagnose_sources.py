"""The work of ``diagnose``, a function for each source: a model, probes of it, a log, MLflow."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import interruption
from pipeline.commands.unwritable import noted_if_read_only
from pipeline.terminal import visible

if TYPE_CHECKING:
    from pipeline.diagnosis import Diagnosis, History


def diagnose_model(name: str, *, root: Path, output: str = "text") -> Diagnosis:
    """Diagnose ``results/<name>/``; write ``diagnosis.json`` and ``.png``; tag the model's run.

    In a project that cannot be written, the verdict is printed all the same, after a note.
    output: text, or json.  Raises `DataError` where the run has no history, and the errors of a
    full disk.
    """
    from pipeline.diagnosis import diagnose
    from pipeline.diagnosis.record import UNDETERMINED
    from pipeline.disk import check_results
    from pipeline.runs.files import RunFiles
    from pipeline.runs.history import read_run
    from pipeline.runs.probe_plan import planned as planned_probes
    from pipeline.runs.verdict import track_verdict

    run = read_run(name, root=root)
    writable = False
    with noted_if_read_only("the diagnosis"):
        check_results(name, root=root)
        writable = True
    diagnosis = diagnose(run.history)
    if writable:
        files = _write(diagnosis, run.history, root / "results" / name, root=root)
        if run.model:
            track_verdict(run.model, diagnosis, files, root=root)
    _print(diagnosis, run.history, root=root, output=output, run=f"name={name}")
    if diagnosis.verdict == UNDETERMINED and run.model and output == "text":
        planned = planned_probes(run.history, RunFiles(root, name).read_history())
        if planned:
            cost = f"{planned.num_runs} at most{planned.time}"
            print(f"  Short runs from its weights may settle the verdict ({cost}):")
            print(f"     pipeline diagnose name={name} probe=true")
    return diagnosis


def diagnose_with_probes(
    name: str, *, root: Path, epochs: int | None = None, output: str = "text"
) -> Diagnosis:
    """Diagnose ``results/<name>/`` by its curves and by short runs from the model's weights.

    Writes the files of `diagnose_model`, ``probes.json`` and ``probes.png``, all after the last
    short run. A probe that was killed goes on after its last finished part.
    epochs: length of a short run; None for a quarter of the training.
    Raises `DataError` or `ModelError` where history, weights or data are missing, or are not of
    one run, and the errors of `check_results`, before the first short run.
    """
    from pipeline.disk import check_results
    from pipeline.files import write_record
    from pipeline.reporting import probe_plot, probe_text
    from pipeline.reporting.style import save_png
    from pipeline.runs.probing import prepare_probes, run_probes
    from pipeline.runs.verdict import track_verdict

    report = partial(print, flush=True, file=sys.stderr if output == "json" else None)
    check_results(name, root=root)
    setup = prepare_probes(name, root=root, epochs=epochs)
    interruption.set_hint("the same command goes on after the last finished part of the probe")
    report(setup.summary)
    probed = run_probes(setup, report=lambda line: report(f"  {line}"))
    diagnosis, probes = probed.diagnosis, probed.record

    results = root / "results" / name
    figure = probe_plot.plot(probed.outcome, probes)
    write_record(results / "probes.json", probes)
    save_png(figure, results / "probes.png")
    files = [results / "probes.json", results / "probes.png"]
    files += _write(diagnosis, setup.history, results, root=root)
    setup.parts.forget()
    track_verdict(setup.model, diagnosis, files, root=root)
    _print(diagnosis, setup.history, root=root, output=output, run=f"name={name}")
    if output == "text":
        probe_text.show(probes)
    return diagnosis


def diagnose_log(
    source: Path | None,
    *,
    signals: Path | None = None,
    columns: Mapping[str, str],
    num_classes: int | None,
    root: Path,
    output: str = "text",
) -> Diagnosis:
    """Diagnose a log, the folder of a run, or standard input (``-``), of any framework.

    Prints first which column was read as what; to the error stream where the output is JSON.
    signals: the file that `Signals` wrote beside it; alone it is enough.
    columns: curve → column, where the person says which.
    """
    from pipeline.diagnosis import diagnose
    from pipeline.diagnosis.readers import read_log

    report = partial(print, file=sys.stderr if output == "json" else None)
    history = None
    if source:
        reading = read_log(source, named=columns, num_classes=num_classes)
        report(visible(reading.line))
        history = reading.history
    if signals:
        from pipeline.runs.foreign import history_of_signals

        history = history_of_signals(signals, history)
        report(
            f"read: {signals}: losses and accuracies of the measured examples, in evaluation mode; "
            f"{len(history.epochs)} epochs"
        )
    assert history is not None
    diagnosis = diagnose(history)
    _print(diagnosis, history, root=root, output=output)
    return diagnosis


def diagnose_tracked(
    run_id: str, *, num_classes: int | None, uri: str, root: Path, output: str = "text"
) -> Diagnosis:
    """Diagnose any run of an MLflow store; a run of this project with all its signals."""
    from pipeline.diagnosis import diagnose
    from pipeline.runs.history import tracked_history

    history = tracked_history(run_id, num_classes=num_classes, uri=uri, root=root)
    diagnosis = diagnose(history)
    _print(diagnosis, history, root=root, output=output, run=f"run={run_id}")
    return diagnosis


def _write(diagnosis: Diagnosis, history: History, folder: Path, *, root: Path) -> list[Path]:
    from pipeline.files import write_atomically, write_record
    from pipeline.reporting import diagnosis_plot
    from pipeline.reporting.kept_pictures import Album

    picture = Album(root).png(diagnosis_plot.plot, history, diagnosis)
    write_record(folder / "diagnosis.json", diagnosis)
    write_atomically(folder / "diagnosis.png", picture)
    return [folder / "diagnosis.json", folder / "diagnosis.png"]


def _print(
    diagnosis: Diagnosis, history: History, *, root: Path, output: str, run: str = ""
) -> None:
    """Print a diagnosis, as text for people or as JSON for programs.

    run: as ``pipeline verify`` takes it; empty for the log of another program.
    """
    from pipeline.files import to_json
    from pipeline.reporting import diagnosis_text
    from pipeline.reporting.remedy_command import verify_command

    if output == "json":
        print(to_json(diagnosis), end="")
    else:
        commands = _remedy_commands(diagnosis, history.context.settings, root=root)
        proof = verify_command(run, diagnosis.offered) if run else ""
        diagnosis_text.show(diagnosis, commands=commands, proof=proof)


def _remedy_commands(
    diagnosis: Diagnosis, settings: Mapping[str, Any], *, root: Path
) -> dict[tuple[str, ...], str]:
    """The command of each remedy by its overrides; nothing without the run's settings."""
    from pipeline.reporting.remedy_command import remedy_commands

    if not settings:
        return {}
    remedies = [remedy for finding in diagnosis.findings for remedy in finding.remedies]
    remedies += diagnosis.remedies
    lines = remedy_commands(settings, remedies, root=root)
    return {remedy.overrides: line for remedy, line in zip(remedies, lines, strict=True)}
