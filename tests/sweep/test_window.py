"""The window of TPE: which trials it holds, and that its cost does not grow with the study."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.sweep.samplers import build_sampler
from pipeline.sweep.window import Best, Windowed, windowed

optuna.logging.set_verbosity(optuna.logging.WARNING)


def numbered(values: Sequence[float | tuple[float, ...]]) -> list[FrozenTrial]:
    trials = []
    for number, value in enumerate(values):
        each = value if isinstance(value, tuple) else (value,)
        trials.append(create_trial(values=list(each)))
        trials[-1].number = number
    return trials


def window(trials: Sequence[FrozenTrial], *, size: int, signs: Sequence[float]) -> list[int]:
    return numbers(windowed(trials, size=size, best=Best(signs=signs, count=size // 5)))


def numbers(trials: Sequence[FrozenTrial]) -> list[int]:
    return [t.number for t in trials]


def test_a_window_holds_the_latest_and_the_best_of_all_before() -> None:
    trials = numbered([5.0, 1.0, 4.0, 2.0, 3.0, *[9.0] * 8])
    assert window(trials, size=10, signs=[1.0]) == [1, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert window(trials, size=10, signs=[-1.0])[:2] == [0, 2]


def test_each_of_two_objectives_keeps_its_best() -> None:
    trials = numbered([(0.0, 9.0), (5.0, 5.0), (9.0, 0.0), *[(8.0, 8.0)] * 10])
    assert window(trials, size=10, signs=[1.0, 1.0])[:2] == [0, 2]


def test_a_pruned_trial_is_no_best_one_and_a_small_study_is_whole() -> None:
    trials = numbered([0.0, *[9.0] * 12])
    trials[0].state = TrialState.PRUNED
    assert 0 not in window(trials, size=10, signs=[1.0])
    assert window(trials, size=13, signs=[1.0]) == list(range(13))


def test_a_trial_that_ends_late_is_still_one_of_the_best() -> None:
    trials = numbered([9.0] * 12)
    trials[3].state = TrialState.RUNNING
    best = Best(signs=[1.0], count=2)
    assert 3 not in numbers(best.among(trials, end=8))
    trials[3].state, trials[3].values = TrialState.COMPLETE, [1.0]
    assert 3 in numbers(best.among(trials, end=9))


def suggested(study: optuna.Study, seed: int) -> float:
    """Ask for two numbers; return the milliseconds that it took."""
    study.sampler = build_sampler({"name": "tpe", "seed": seed, "window": 100}, number=0)
    assert isinstance(study.sampler, Windowed)
    began = time.perf_counter()
    trial = study.ask()
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    spent = 1000 * (time.perf_counter() - began)
    study.tell(trial, x * x + y * y)
    return spent


def test_a_small_study_gets_the_very_suggestions_of_tpe() -> None:
    with_window, without = optuna.create_study(), optuna.create_study()
    for seed in range(25):
        suggested(with_window, seed)
        plain = {"name": "tpe", "seed": seed}
        without.sampler = build_sampler(plain, number=0)
        trial = without.ask()
        x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
        without.tell(trial, x * x + y * y)
    assert [t.params for t in with_window.trials] == [t.params for t in without.trials]


@pytest.mark.slow
def test_the_cost_of_a_suggestion_is_bounded() -> None:
    study = optuna.create_study()
    early = [suggested(study, seed) for seed in range(130)][-30:]
    for i in range(5000):
        params = {"x": (i % 97) / 10 - 4.8, "y": (i % 89) / 10 - 4.4}
        space = {key: optuna.distributions.FloatDistribution(-5, 5) for key in params}
        value = sum(v * v for v in params.values())
        study.add_trial(create_trial(params=params, distributions=space, value=value))
    late = [suggested(study, seed) for seed in range(30)]
    assert median(late) < 2 * median(early) + 20  # TPE alone takes 27 µs more for each trial
