"""`seeds_per_trial`: the mean by hand, poor trials, and seeds that ended before a kill."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState

from pipeline.sweep.trial import METRICS, SEEDS, VERDICT
from pipeline.sweep.trial_seeds import OverSeeds, SeedResult, ended_seeds, is_poor, summarized
from sweep_process import run, start, study

THREE = "hydra.sweeper.seeds_per_trial=3"


def pairs(folder: Path, name: str) -> Counter[tuple[int, int]]:
    """How often each (trial, seed) began (starts.txt) or ended (ends.txt)."""
    rows = [line.split() for line in (folder / name).read_text().splitlines()]
    return Counter((int(row[0]), int(row[-1])) for row in rows)


def peer(*values: float) -> OverSeeds:
    return OverSeeds(tuple(range(len(values))), values)


# Means 1 to 5, each seed off by 0.1: a spread of 0.1, so a standard error of 0.141 for one seed.
PEERS = [peer(m - 0.1, m, m + 0.1) for m in (1.0, 2.0, 3.0, 4.0, 5.0)]
# (own seeds, direction, poor): the first seed of the best is 0.9, the median of first seeds 2.9.
POOR = {
    "worse_than_median_and_best": ({0: 3.0}, "minimize", True),
    "better_than_the_median": ({0: 2.8}, "minimize", False),
    "two_seeds": ({0: 2.9, 1: 3.2}, "minimize", True),
    "the_other_direction": ({0: 3.0}, "maximize", False),
    "poor_in_the_other_direction": ({0: 2.8}, "maximize", True),
    "another_seed_than_the_peers": ({7: 99.0}, "minimize", False),
    "no_seed": ({}, "minimize", False),
}


@pytest.mark.parametrize(("own", "direction", "poor"), POOR.values(), ids=POOR)
def test_a_poor_trial_is_one_that_seeds_do_not_explain(
    own: dict[int, float], direction: str, poor: bool
) -> None:
    assert is_poor(own, PEERS, direction=direction) is poor


def test_noise_of_the_seeds_protects_a_trial() -> None:
    """The same means, and seeds that differ by 2: nothing is clear any more."""
    noisy = [peer(m - 2, m, m + 2) for m in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert not is_poor({0: 3.0}, noisy, direction="minimize")


def test_four_peers_call_nothing_poor() -> None:
    assert not is_poor({0: 99.0}, PEERS[:4], direction="minimize")


def test_equal_seeds_are_compared() -> None:
    """Seed 0 costs everybody 10 more: a first seed of 11 is a good one, and 13.1 a poor one."""
    hard = [peer(m + 10, m, m) for m in (1.0, 1.1, 3.0, 4.0, 5.0)]
    assert not is_poor({0: 11.0}, hard, direction="minimize")


def test_a_summary_has_means_and_the_most_frequent_verdict() -> None:
    notes: list[dict[str, Any]] = [
        {METRICS: {"val/loss": 1.0, "parameters": 5.0}, VERDICT: "healthy"},
        {METRICS: {"val/loss": 2.0, "parameters": 5.0}, VERDICT: "overfitting"},
        {METRICS: {"val/loss": 6.0}, VERDICT: "overfitting"},
    ]
    ended = [
        SeedResult(s, (v,), n, 0.1)
        for s, v, n in zip((4, 5, 6), (1.0, 2.0, 6.0), notes, strict=True)
    ]
    found = summarized(ended)
    assert found[METRICS] == {"val/loss": 3.0}  # parameters: one seed has none
    assert found[VERDICT] == "overfitting"
    assert found[SEEDS] == {
        "seeds": [4, 5, 6],
        "values": [1.0, 2.0, 6.0],
        "standard_deviation": pytest.approx(7**0.5),
    }
    kept = dict(each.attribute for each in ended)
    assert ended_seeds(kept) == dict(zip((4, 5, 6), ended, strict=True))


def test_a_trial_is_the_mean_of_its_seeds(tmp_path: Path) -> None:
    """x=2 gives 1 and x=1 gives 4; the seeds 1, 2, 3 add 0, 0.5 and -0.5."""
    printed = run(tmp_path, "x=1,2", "seed=1", "noise=0.5", THREE)
    assert pairs(tmp_path, "starts.txt") == Counter((t, s) for t in (0, 1) for s in (1, 2, 3))
    first, second = study(tmp_path).trials
    assert (first.value, second.value) == (4.0, 1.0)
    assert second.user_attrs[SEEDS]["values"] == [1.0, 1.5, 0.5]
    assert second.user_attrs["seed:2"]["values"] == [1.5]
    assert printed.splitlines()[-1] == "best: 1 ± 0.5 over 3 seeds by #1: x=2"
    results = yaml.safe_load((tmp_path / "multirun" / "optimization_results.yaml").read_text())
    assert results["best_value"] == 1.0 and results["standard_deviation"] == 0.5
    assert results["seeds"] == [1, 2, 3]
    kept = tmp_path / "multirun" / "1" / "seed3" / ".hydra" / "overrides.yaml"
    assert "seed=3" in yaml.safe_load(kept.read_text())


def test_several_objectives_are_means_too(tmp_path: Path) -> None:
    two = ("two=true", "hydra.sweeper.direction=[minimize,minimize]")
    run(tmp_path, "x=1,2", "noise=0.3", *two, THREE)
    assert [t.values for t in study(tmp_path).trials] == [[4.0, 1.0], [1.0, 2.0]]


def test_two_workers_share_the_trials(tmp_path: Path) -> None:
    run(tmp_path, "x=1,2,4", THREE, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert pairs(tmp_path, "ends.txt") == Counter((t, s) for t in range(3) for s in range(3))
    assert [t.value for t in study(tmp_path).trials] == [4.0, 1.0, 1.0]


SEARCH = (
    "x=interval(-9,9)", "noise=0.01", "hydra.sweeper.n_trials=16",
    "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1",
)  # fmt: skip


def seeds_of(trial: FrozenTrial) -> int:
    return len(ended_seeds(trial.user_attrs))


def test_a_clearly_poor_trial_stops_after_its_first_seed(tmp_path: Path) -> None:
    # This pruner itself never stops a trial: the bound is out of reach.
    out_of_reach = ("hydra/sweeper/pruner=threshold", "hydra.sweeper.pruner.upper=1e9")
    printed = run(tmp_path, *SEARCH, *out_of_reach, THREE)
    trials = study(tmp_path).trials
    pruned = [t for t in trials if t.state == TrialState.PRUNED]
    assert {seeds_of(t) for t in pruned} == {1}
    assert len(pruned) >= 5 and "pruned after 1 seed  best" in printed
    assert {seeds_of(t) for t in trials if t.state == TrialState.COMPLETE} == {3}
    # The best is among those that went on, and every stopped one is worse than the median then.
    best = min(abs(t.params["x"] - 3) for t in trials)
    assert abs(study(tmp_path).best_trial.params["x"] - 3) == best


def test_without_a_pruner_every_trial_has_all_seeds(tmp_path: Path) -> None:
    run(tmp_path, *SEARCH, "hydra/sweeper/pruner=none", THREE)
    assert {seeds_of(t) for t in study(tmp_path).trials} == {3}


def test_only_the_first_seed_reports_its_epochs(tmp_path: Path) -> None:
    """A trial is compared with others at equal epochs of equal seeds."""
    run(tmp_path, *SEARCH, "hydra/sweeper/pruner=median", "steps=4", THREE)
    for trial in study(tmp_path).trials:
        assert set(trial.intermediate_values) <= set(range(4))
        if trial.state == TrialState.COMPLETE:
            base = (trial.params["x"] - 3) ** 2 - 0.01  # of seed 0
            assert trial.intermediate_values[3] == pytest.approx(base + 1 / 4)


def test_a_failed_seed_fails_its_trial_and_is_named(tmp_path: Path) -> None:
    printed = run(tmp_path, "x=1,2", "fail=odd", THREE, "hydra.sweeper.max_failure_rate=1")
    first, second = study(tmp_path).trials
    assert first.state == TrialState.COMPLETE and second.state == TrialState.FAIL
    assert "seed 0: ValueError" in second.user_attrs["failure"] and "seed 0" in printed


@pytest.mark.parametrize("kill", range(3))
def test_a_seed_that_ended_is_not_run_again_after_a_kill(kill: int, tmp_path: Path) -> None:
    words = ("x=1,2", "noise=0.5", "steps=5", "sleep=0.05", "hydra.sweeper.lease=1", THREE)
    process = start(tmp_path, *words)
    wanted = 2 * kill + 1  # of six seeds
    deadline = time.monotonic() + 60
    while not _num_kept(tmp_path) >= wanted:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = _kept(tmp_path)
    before = pairs(tmp_path, "starts.txt")
    run(tmp_path, *words)
    after = pairs(tmp_path, "starts.txt")
    assert set(after) == {(t, s) for t in (0, 1) for s in range(3)}
    assert kept and all(after[pair] == before[pair] for pair in kept)
    assert [t.value for t in study(tmp_path).trials] == [4.0, 1.0]


def _kept(folder: Path) -> set[tuple[int, int]]:
    try:
        trials = study(folder).trials
    except (ValueError, KeyError):  # the study is not there yet
        return set()
    return {(t.number, s) for t in trials for s in ended_seeds(t.user_attrs)}


def _num_kept(folder: Path) -> int:
    return len(_kept(folder)) if (folder / "ends.txt").is_file() else 0


REFUSED = {
    "none": (("x=1,2", "hydra.sweeper.seeds_per_trial=0"), "seeds_per_trial=0: must be at least"),
    "swept": (("x=1,2", "seed=0,1", THREE), "seed: is swept, and seeds_per_trial=3"),
    "missing": (("x=1,2", "~seed", THREE), "needs a whole number under seed"),
    "no_number": (("x=1,2", "seed=auto", THREE), "which is 'auto'"),
}


@pytest.mark.parametrize(("line", "word"), REFUSED.values(), ids=REFUSED)
def test_seeds_that_cannot_be_are_refused(line: tuple[str, ...], word: str, tmp_path: Path) -> None:
    assert word in run(tmp_path, *line, code=1)
    assert not (tmp_path / "starts.txt").exists()


def test_a_study_keeps_its_number_of_seeds(tmp_path: Path) -> None:
    named = "hydra.sweeper.study_name=mine"
    run(tmp_path, "x=1,2", named)
    assert "seeds_per_trial=1, not 3" in run(tmp_path, "x=1,2", named, THREE, code=1)


optuna.logging.set_verbosity(optuna.logging.WARNING)
