"""Workers as jobs of a real SLURM: through sbatch, one of them killed in the middle of a trial."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from sweep_process import APP, ENVIRONMENT, starts, study_in


def slurm(cluster: dict[str, str], *command: str) -> str:
    env = {**os.environ, **cluster}
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout


def running_jobs(cluster: dict[str, str]) -> list[str]:
    return slurm(cluster, "squeue", "--noheader", "--states=R", "--format=%i").split()


def begun(
    command: list[str], folder: Path, cluster: dict[str, str], **more: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **cluster, **more},
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_until(true: object, process: subprocess.Popen[str], seconds: float = 90.0) -> None:
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until and process.poll() is None, process.communicate(timeout=5)[
            0
        ]
        time.sleep(0.2)


@pytest.mark.parametrize("how", ["scancel", "kill"])
def test_a_job_that_is_killed_costs_no_trial(
    how: str, tmp_path: Path, database: str, cluster: dict[str, str]
) -> None:
    command = [
        *(sys.executable, str(APP), "-m", "x=interval(-10,10)", "steps=5", "sleep=0.2"),
        *("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10"),
        *("hydra.launcher.cpus_per_task=1", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=16"),
        f"hydra.sweeper.storage='{database}'",
    ]
    process = begun(command, tmp_path, cluster)
    wait_until(lambda: (tmp_path / "starts.txt").exists() and len(starts(tmp_path)) >= 4, process)
    jobs = running_jobs(cluster)
    assert len(jobs) == 2
    if how == "scancel":
        slurm(cluster, "scancel", jobs[0])
    else:
        last = (tmp_path / "starts.txt").read_text().splitlines()[-1]
        os.kill(int(last.split()[2]), signal.SIGKILL)
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    trials = study_in(database).trials
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 16}, output
    assert {t.user_attrs["ticket"] for t in trials} == set(range(16))
    times = Counter(starts(tmp_path))
    assert set(times) == set(range(16))
    assert sum(times.values()) <= 17
    assert list((tmp_path / "multirun" / ".submitit").glob("*/*_submission.sh"))


@pytest.fixture
def server(record_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server over the same PostgreSQL, which hands out the artifacts too."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    env = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--backend-store-uri", record_database, "--host", "127.0.0.1"),
                *("--artifacts-destination", str(folder / "artifacts"), "--port", str(port)),
            ],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < until and process.poll() is None, (
                folder / "log"
            ).read_text()[-2000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_training_through_slurm_with_a_server_for_the_record(
    project: Path, database: str, server: str, cluster: dict[str, str]
) -> None:
    plain = database.replace("+psycopg2", "")
    command = [
        *(sys.executable, "-m", "pipeline", "train", "-m", "study_name=clustered"),
        "optimizer.learning_rate=tag(log,interval(1e-4,1e-2))",
        *(
            "n_trials=6",
            "n_jobs=2",
            f"storage={plain}",
            "hydra.sweeper.pruner.n_startup_trials=100",
        ),
        *("hydra/launcher=slurm", "hydra.launcher.mem_gb=2", "hydra.launcher.cpus_per_task=1"),
        *("model.width=64", "trainer=cpu", "trainer.max_epochs=15"),
    ]
    process = begun(command, project, cluster, MLFLOW_TRACKING_URI=server)

    engine = sqlalchemy.create_engine(database, poolclass=sqlalchemy.NullPool)

    def in_the_middle() -> bool:
        # Optuna would make the schema by itself, beside the sweep that is just making it.
        if "pipeline_tickets" not in sqlalchemy.inspect(engine).get_table_names():
            return False
        if not optuna.get_all_study_names(database):
            return False
        states = Counter(t.state for t in study_in(database).trials)
        return states[TrialState.COMPLETE] >= 1 and states[TrialState.RUNNING] >= 1

    wait_until(in_the_middle, process, seconds=150)
    slurm(cluster, "scancel", running_jobs(cluster)[0])
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    trials = study_in(database).trials
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 6}, output
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=server)
    runs = client.search_runs([client.get_experiment_by_name("mnist").experiment_id])
    parents = [r for r in runs if r.data.tags.get("pipeline.kind") == "study"]
    children = [r for r in runs if "optuna.trial" in r.data.tags]
    assert len(parents) == 1
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert sorted(int(r.data.tags["optuna.trial"]) for r in children) == sorted(
        t.number for t in trials
    )
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parents[0].info.run_id}
    assert not (project / "mlflow.db").exists()


def test_the_cluster_is_refused_where_there_is_none(project: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "train",
        "-m",
        "seed=1,2",
        "n_jobs=2",
        "hydra/launcher=slurm",
    ]
    env = {**ENVIRONMENT, "PATH": str(project)}
    done = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "sbatch and srun are not on the PATH" in done.stderr
    assert not (project / "optuna.db").exists()
