"""Everything at once in one project: trainings, sweeps, `dvc repro` and the server lose nothing."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.tracking.faulty_server import free_port, rows

SOURCE = Path(__file__).parents[2] / "src"
SMALL = (
    "trainer.accelerator=cpu precision=fp32 trainer.num_threads=1 signals=none model.width=16 "
    "data.fraction=0.2 trainer.sample_size=100 trainer.max_epochs=3"
)
STAGES = f"""
stages:
  first:
    cmd: {{python}} -m pipeline train name=first overwrite=true {SMALL}
    outs: [models/first]
  second:
    cmd: {{python}} -m pipeline train name=second overwrite=true seed=1 {SMALL}
    deps: [models/first]
    outs: [models/second]
"""
SWEEPS = {"low": "optimizer.learning_rate=0.001,0.002", "high": "seed=0,1,2"}
PATIENCE_S = 900.0
Process = subprocess.Popen[str]


def started(folder: Path, *command: str) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def output_of(process: Process, *, codes: tuple[int, ...] = (0,)) -> str:
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in codes, output
    return output


@contextmanager
def ui_beside(folder: Path) -> Iterator[Counter[int]]:
    """Run ``pipeline ui``, and ask it for all runs again and again; yield the counts of answers."""
    port, over = free_port(), threading.Event()
    server = started(folder, "pipeline", "ui", f"port={port}")
    answers: Counter[int] = Counter()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search",
        b'{"experiment_ids": ["0", "1"], "max_results": 100}',
        {"Content-Type": "application/json"},
    )

    def ask() -> None:
        while not over.wait(0.3):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    answers[answer.status] += 1
            except OSError as error:
                answers[getattr(error, "code", 0)] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        until = time.monotonic() + PATIENCE_S
        while not answers[200] and time.monotonic() < until and server.poll() is None:
            time.sleep(0.2)
        yield answers
    finally:
        over.set()
        thread.join()
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=60)


def history(path: Path) -> Counter[tuple[str, int]]:
    with path.open(newline="") as lines:
        table = list(csv.DictReader(lines))
    names = [name for name in table[0] if name not in ("epoch", "step")]
    return Counter((name, int(row["epoch"]) + 1) for row in table for name in names)


def recorded(folder: Path, run_id: str) -> Counter[tuple[str, int]]:
    query = (
        f"select key, step from metrics where run_uuid = '{run_id}' and key not like 'kept/%' "
        "and key != 'train/gradient_norm'"  # of the signals, not of the history
    )
    return Counter(rows(folder / "mlflow.db", query))


@pytest.mark.slow
def test_trainings_sweeps_repros_and_ui_side_by_side(project: Path) -> None:
    (project / "dvc.yaml").write_text(STAGES.replace("{python}", sys.executable))
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=project, check=True)

    four = [
        started(project, "pipeline", "train", f"name=fresh{n}", f"seed={n}", *SMALL.split())
        for n in range(4)
    ]
    until = time.monotonic() + PATIENCE_S
    while not (project / "mlflow.db").is_file() and time.monotonic() < until:
        time.sleep(0.1)
    with ui_beside(project) as answers:
        sweeps = [
            started(project, "pipeline", "train", "-m", values, f"study_name={n}", *SMALL.split())
            for n, values in SWEEPS.items()
        ]
        repros = [started(project, "dvc", "repro") for _ in range(2)]
        for process in (*four, *sweeps):
            output_of(process)
        # DVC lets one of two in: the other waits, or says who holds the files.
        told = [output_of(process, codes=(0, 255)) for process in repros]
        assert 0 in [process.returncode for process in repros], told
        output_of(started(project, "dvc", "repro"))
        output_of(started(project, "pipeline", "sync"))
    assert answers[200] > 3 and set(answers) <= {200, 0}, answers  # 0: it was starting

    assert "up to date" in output_of(started(project, "dvc", "repro"))
    assert_runs_are_whole(project)
    assert_trials_are_whole(project)


def assert_runs_are_whole(project: Path) -> None:
    """Each training is one FINISHED run with the rows of its history, each once."""
    query = "select run_uuid, name, status from runs where lifecycle_stage = 'active'"
    runs = {name: (run_id, status) for run_id, name, status in rows(project / "mlflow.db", query)}
    names = [name for _, name, _ in rows(project / "mlflow.db", query)]
    low = [f"#{n} learning_rate=0.00{n + 1}" for n in range(2)]
    trials = dict.fromkeys([*low, *(f"#{n} seed={n}" for n in range(3))], 1)
    alone = dict.fromkeys([*(f"fresh{n}" for n in range(4)), "first", "second", "low", "high"], 1)
    assert Counter(names) == Counter({**trials, **alone})
    assert {status for _, status in runs.values()} == {"FINISHED"}
    for name in (*(f"fresh{n}" for n in range(4)), "first", "second"):
        table = history(project / "results" / name / "history.csv")
        assert recorded(project, runs[name][0]) == table, name


def assert_trials_are_whole(project: Path) -> None:
    trial_runs = (
        "select s.value, t.value, r.run_uuid from runs r join tags s on s.run_uuid = r.run_uuid "
        "and s.key = 'optuna.study' join tags t on t.run_uuid = r.run_uuid "
        "and t.key = 'optuna.trial'"
    )
    found = rows(project / "mlflow.db", trial_runs)
    assert Counter(study for study, _, _ in found) == {"low": 2, "high": 3}
    wanted = [history(path) for path in project.glob("multirun/*/*/*/results/*/history.csv")]
    have = [recorded(project, run_id) for _, _, run_id in found]
    assert len(wanted) == 5 and all(table in have for table in wanted)
    states = rows(project / "optuna.db", "select state from trials")
    assert states == [("COMPLETE",)] * 5
