"""The sweeper in a real application, in processes of its own, over a real database."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from sweep_process import run, start, starts, study

INTERVAL = "x=interval(-10,10)"


def test_discrete_values_run_every_combination_once_in_hydras_order(tmp_path: Path) -> None:
    run(tmp_path, "x=1,2,3", "kind=a,b")
    trials = study(tmp_path).trials
    assert [(t.params["x"], t.params["kind"]) for t in trials] == [
        (1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (3, "b"),
    ]  # fmt: skip
    assert [t.value for t in trials] == [4.0, 5.0, 1.0, 2.0, 0.0, 1.0]
    assert starts(tmp_path) == [0, 1, 2, 3, 4, 5]
    for number in range(6):
        folder = tmp_path / "multirun" / str(number)
        assert yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text()) == [
            f"{k}={v}" for k, v in trials[number].params.items()
        ]
        assert (folder / "sweep_app.log").is_file()
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["best_params"] == {"x": 3, "kind": "a"}
    assert results["best_value"] == 0.0


def test_the_same_command_goes_on_to_the_total_and_a_larger_total_adds(tmp_path: Path) -> None:
    run(tmp_path, INTERVAL, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=1")
    assert "4 done" in run(
        tmp_path, INTERVAL, "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.seed=1"
    )
    run(tmp_path, INTERVAL, "hydra.sweeper.n_trials=7", "hydra.sweeper.sampler.seed=1")
    trials = study(tmp_path).trials
    assert len(trials) == 7
    assert len({t.params["x"] for t in trials}) == 7  # a fixed seed does not replay its points
    assert starts(tmp_path) == list(range(7))


def test_a_seed_gives_the_same_search_in_one_go_and_in_two(tmp_path: Path) -> None:
    found = []
    for name, totals in (("whole", [6]), ("parts", [2, 6])):
        (tmp_path / name).mkdir()
        for total in totals:
            run(
                tmp_path / name,
                INTERVAL,
                f"hydra.sweeper.n_trials={total}",
                "hydra.sweeper.sampler.seed=5",
            )
        found.append([t.params["x"] for t in study(tmp_path / name).trials])
    assert found[0] == found[1]


@pytest.mark.slow
def test_three_processes_of_the_same_command_run_the_total_exactly(tmp_path: Path) -> None:
    line = (INTERVAL, "hydra.sweeper.n_trials=30", "steps=3", "sleep=0.02")
    processes = [start(tmp_path, *line) for _ in range(3)]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    trials = study(tmp_path).trials
    assert len(trials) == 30
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert sorted(starts(tmp_path)) == list(range(30))


@pytest.mark.slow
def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    line = (
        INTERVAL,
        "hydra.sweeper.n_trials=12",
        "steps=5",
        "sleep=0.05",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    )
    for wait in (3.0, 4.0):
        process = start(tmp_path, *line)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    output = run(tmp_path, *line)
    trials = study(tmp_path).trials
    assert Counter(t.state for t in trials) == {TrialState.COMPLETE: 12}, output
    assert {t.user_attrs["ticket"] for t in trials} == set(range(12))


def test_a_trial_whose_worker_always_dies_fails_after_its_attempts(tmp_path: Path) -> None:
    line = ("x=1,2", "fail=die", "hydra.sweeper.max_attempts=2", "hydra.sweeper.max_failure_rate=1")
    for _ in range(4):
        start(tmp_path, *line).communicate(timeout=60)
    output = run(tmp_path, *line, code=1)
    trials = study(tmp_path).trials
    assert [t.state for t in trials] == [TrialState.FAIL] * 2, output
    assert all("killed 2 times" in t.user_attrs["failure"] for t in trials)
    assert Counter(starts(tmp_path)) == {0: 2, 1: 2}


def test_failing_trials_are_kept_with_their_reason_and_the_sweep_goes_on(tmp_path: Path) -> None:
    run(tmp_path, "x=1,2,3,4", "fail=odd")
    trials = study(tmp_path).trials
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.FAIL] * 2
    assert trials[1].user_attrs["failure"] == "ValueError: x=2 is not to my taste"
    log = (tmp_path / "multirun" / "1" / "sweep_app.log").read_text()
    assert "Traceback" in log  # where it was raised is not lost
    assert "in main" in log


@pytest.mark.parametrize(
    ("fail", "reason"),
    [("lost", "not finite"), ("type", "is no number"), ("raise", "not to my taste")],
)
def test_a_sweep_stops_at_its_failure_limit(fail: str, reason: str, tmp_path: Path) -> None:
    output = run(
        tmp_path, "x=1,2,3,4", f"fail={fail}", "hydra.sweeper.max_failure_rate=0.25", code=1
    )
    assert "2 of 4 trials failed" in output
    assert reason in output
    assert len(study(tmp_path).trials) == 2


def test_pruning_stops_what_is_worse_and_is_no_failure(tmp_path: Path) -> None:
    run(
        tmp_path,
        "x=range(3,23)",
        "steps=4",
        "hydra/sweeper/pruner=median",
        "hydra.sweeper.n_trials=20",
        "hydra.sweeper.sampler.seed=0",
        "hydra.sweeper.pruner.n_startup_trials=2",
    )
    by_state = Counter(t.state for t in study(tmp_path).trials)
    assert by_state[TrialState.PRUNED] >= 3
    assert by_state[TrialState.FAIL] == 0
    for trial in study(tmp_path).trials:
        if trial.state == TrialState.PRUNED:
            assert len(trial.intermediate_values) < 4


def test_two_objectives_have_a_front(tmp_path: Path) -> None:
    run(
        tmp_path, INTERVAL, "two=true", "hydra.sweeper.direction=[minimize,minimize]",
        "hydra.sweeper.n_trials=8", "hydra/sweeper/sampler=nsgaii",
    )  # fmt: skip
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    values = [t.values for t in study(tmp_path).trials]
    front = [v for v in values if not any(o[0] <= v[0] and o[1] <= v[1] and o != v for o in values)]
    assert sorted(s["values"] for s in results["solutions"]) == sorted(front)


REFUSED = {
    "nothing_to_sweep": ((), "nothing to sweep"),
    "no_end": ((INTERVAL,), "Say how many: n_trials=50"),
    "grid_of_an_interval": (
        (INTERVAL, "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=3"),
        "listed values",
    ),
    "no_trials": (("x=1,2", "hydra.sweeper.n_trials=0"), "n_trials=0"),
    "direction": (("x=1,2", "hydra.sweeper.direction=down"), "must be minimize or maximize"),
    "unknown_sampler": (("x=1,2", "hydra/sweeper/sampler=tpee"), "tpee"),
    "option_of_a_sampler": (("x=1,2", "hydra.sweeper.sampler.n_startup=3"), "n_startup"),
    "journal": (("x=1,2", "hydra.sweeper.storage=journal.log"), "must be a database URL"),
    "no_server": (
        ("x=1,2", "hydra.sweeper.storage='postgresql://127.0.0.1:9/x'"),
        "storage=postgresql",
    ),
    "sampler_of_one_objective": (
        ("x=1,2", "hydra.sweeper.direction=[minimize,minimize]", "hydra/sweeper/sampler=cmaes"),
        "cannot serve 2 objectives",
    ),
}


@pytest.mark.parametrize(("line", "word"), [pytest.param(*v, id=k) for k, v in REFUSED.items()])
def test_a_wrong_sweep_is_refused_before_anything_runs(
    line: tuple[str, ...], word: str, tmp_path: Path
) -> None:
    assert word in run(tmp_path, *line, code=1)
    assert not (tmp_path / "starts.txt").exists()


def test_a_study_with_another_search_space_is_refused(tmp_path: Path) -> None:
    named = "hydra.sweeper.study_name=mine"
    run(tmp_path, "x=1,2", named)
    assert "another search space for x" in run(tmp_path, "x=1,2,3", named, code=1)
    assert "does not sweep kind" in run(tmp_path, "x=1,2", "kind=a,b", named, code=1)
    assert "other overrides" in run(tmp_path, "x=1,2", "steps=2", named, code=1)
    assert "direction" in run(tmp_path, "x=1,2", named, "hydra.sweeper.direction=maximize", code=1)
    assert starts(tmp_path) == [0, 1]
