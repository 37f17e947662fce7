"""A worker beside others: its share of the machine, and no worker waits for the slowest trial."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from optuna.trial import TrialState

from pipeline.sweep.grammar import parse_space
from pipeline.sweep.plan import WorkerPlan
from pipeline.sweep.worker import Worker
from sweep_process import APP, run, start, study


def worker(*, num_threads: int | None = None, gpus: int = 0) -> Worker:
    plan = WorkerPlan(
        storage="sqlite:///x.db",
        study_name="s",
        space=parse_space(["x=1,2"]),
        directions=("minimize",),
        n_trials=2,
        enumerate_all=True,
        sampler={"name": "random"},
        pruner={"name": "none"},
        max_failures=0,
        max_attempts=3,
        lease=60,
        num_threads=num_threads,
        gpus=gpus,
    )
    return Worker(plan, hydra_context=None, config=None, task_function=None)


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "64")
    for name in ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # so that the end of the test puts it back
        monkeypatch.delenv(name)
    return monkeypatch


def number(index: int) -> SimpleNamespace:
    return SimpleNamespace(job=SimpleNamespace(num=index))


def test_cores_are_shared_out(clean: pytest.MonkeyPatch) -> None:
    worker(num_threads=3)._share_machine()
    assert {os.environ[f"{name}_NUM_THREADS"] for name in ("OMP", "MKL", "OPENBLAS")} == {"3"}


def test_a_job_of_slurm_keeps_to_its_cores(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SLURM_CPUS_PER_TASK", "5")
    worker()._share_machine()
    assert os.environ["OMP_NUM_THREADS"] == "5"


def test_one_worker_alone_is_left_all_of_the_machine(clean: pytest.MonkeyPatch) -> None:
    worker()._share_machine()
    assert os.environ["OMP_NUM_THREADS"] == "64"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


CARDS = {
    "all": (None, ["0", "1", "2", "3", "0"]),
    "two_of_them": ("3,5", ["3", "5", "3", "5", "3"]),
    "one_of_them": ("2", ["2", "2", "2", "2", "2"]),
    "hidden": ("", ["", "", "", "", ""]),
}


@pytest.mark.parametrize(
    ("visible", "expected"), [pytest.param(*v, id=k) for k, v in CARDS.items()]
)
def test_each_worker_sees_one_of_the_allowed_cards(
    visible: str | None, expected: list[str], clean: pytest.MonkeyPatch
) -> None:
    seen = []
    for index in range(5):
        clean.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            clean.setenv("CUDA_VISIBLE_DEVICES", visible)
        clean.setattr(HydraConfig, "get", staticmethod(lambda index=index: number(index)))
        worker(gpus=4)._share_machine()
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == expected


def test_a_scheduler_has_shared_out_its_cards_already(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SLURM_JOB_ID", "1")
    clean.setenv("CUDA_VISIBLE_DEVICES", "7")
    worker(gpus=2)._share_machine()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and ") Z " not in stat.read_text()


def working(begun: Path) -> set[int]:
    """The processes that have begun a trial."""
    lines = begun.read_text().splitlines() if begun.exists() else []
    return {int(line.split()[2]) for line in lines}


@pytest.mark.slow
def test_workers_whose_command_is_killed_finish_the_sweep_and_end(tmp_path: Path) -> None:
    command = start(
        tmp_path,
        "x=interval(-10,10)",
        "hydra.sweeper.n_trials=60",
        "steps=5",
        "sleep=0.05",
        "hydra/launcher=joblib",
        "hydra.sweeper.n_jobs=2",
    )
    begun = tmp_path / "starts.txt"
    until = time.monotonic() + 300  # joblib's processes are slow to start where others work
    while len(working(begun)) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(command.pid, signal.SIGKILL)
    workers = working(begun)
    assert all(alive(pid) for pid in workers)
    until = time.monotonic() + 300
    try:
        while any(alive(pid) for pid in workers):
            assert time.monotonic() < until, "a worker outlives the sweep"
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
    trials = study(tmp_path).trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 60


@pytest.mark.slow
def test_no_worker_waits_for_the_slowest_trial(tmp_path: Path) -> None:
    sleeps = ",".join(["20", *(f"0.0{i}" for i in range(1, 8))])
    run(tmp_path, f"sleep={sleeps}", "hydra/launcher=joblib", "hydra.sweeper.n_jobs=2")
    slow, *others = study(tmp_path).trials
    ended = [t.datetime_complete for t in others]
    assert len(ended) == 7
    assert all(slow.datetime_complete and end and end < slow.datetime_complete for end in ended)
    assert len({t.user_attrs["worker"] for t in others}) == 1


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(("kind", "value"), [("a", 1.0), ("b", 42.0)])
def test_a_worker_that_lost_its_trial_leaves_it_to_the_other(
    kind: str, value: float, seeds: int, tmp_path: Path
) -> None:
    """a: the other worker is at work, and its slot is taken up again later.  b: it has ended."""
    lost = APP.with_name("sweep_lost_app.py")
    words = ("x=1,2,5", f"kind={kind}", f"hydra.sweeper.seeds_per_trial={seeds}")
    output = run(tmp_path, *words, app=lost)
    assert "ended early" not in output
    assert [t.value for t in study(tmp_path).trials] == [value, 2.0, 5.0]
    assert study(tmp_path).trials[0].user_attrs.get("worker", "") == "" or kind == "a"
