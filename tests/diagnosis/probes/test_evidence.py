"""What each probe is evidence for, on losses made by hand and beside a healthy twin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pipeline.diagnosis.measured import Measured
from pipeline.diagnosis.probes.evidence import MOST_ODDS, evidence, weighed
from pipeline.diagnosis.probes.outcome import FACTORS
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.diagnosis.record import Condition
from probe_outcome import batch, fork, lost, outcome, sides

# id: (what differs from the run at rest, verdict, the side wanted; None: the probes say nothing)
TABLE: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "at_rest_rate_high": ({}, "learning_rate_too_high", "against"),
    "at_rest_rate_low": ({}, "learning_rate_too_low", "against"),
    "at_rest_width": ({}, "underfitting", "against"),
    "at_rest_longer": ({}, "undertrained", "against"),
    "at_rest_overfitting": ({}, "overfitting", None),
    "at_rest_learns": ({}, "not_learning", None),
    "smaller_steps_help": ({"rates": {0.1: 0.1}}, "learning_rate_too_high", "for"),
    # Whatever the rate: the run only was not done yet.
    "smaller_steps_help_as_do_its_own": (
        {"rates": {0.1: 0.1, 0.3: 0.1, 1.0: 0.1}},
        "learning_rate_too_high",
        "against",
    ),
    "smaller_steps_repair_what_its_own_harm": (
        {"rates": {0.1: 0.198, 1.0: 0.3}},
        "learning_rate_too_high",
        "against",
    ),
    "new_weights_overtake_ruined_ones": ({"fresh": fork(0.15)}, "learning_rate_too_high", "for"),
    "new_weights_come_near": ({"fresh": fork(0.21)}, "learning_rate_too_high", "against"),
    "larger_steps_go_faster": ({"rates": {1.0: 0.19, 10.0: 0.12}}, "learning_rate_too_low", "for"),
    "larger_steps_go_a_little_faster": (
        {"rates": {1.0: 0.12, 3.0: 0.11}},
        "learning_rate_too_low",
        "against",
    ),
    "larger_steps_go_faster_nowhere": (
        {"rates": {1.0: 0.1999, 10.0: 0.197}},
        "learning_rate_too_low",
        "against",
    ),
    # A thousand times too low: ten times as much is next to nothing too, but Adam learns a batch.
    "steps_of_nothing": (
        {"rates": {1.0: 0.1999, 3.0: 0.1997, 10.0: 0.195}, "batch": batch(2.2, 0.02)},
        "learning_rate_too_low",
        "for",
    ),
    "longer_helps": ({"rates": {1.0: 0.15}}, "undertrained", "for"),
    "longer_harms": ({"rates": {1.0: fork(0.23, 0.12)}}, "overfitting", "for"),
    "longer_harms_both": ({"rates": {1.0: fork(0.23, 0.22)}}, "overfitting", None),
    "longer_harms_what_was_stopped_in_time": (
        {"rates": {1.0: fork(0.23, 0.12)}, "kept_is_last": False},
        "overfitting",
        None,
    ),
    "longer_helps_so_it_is_not_past_its_best": ({"rates": {1.0: 0.15}}, "overfitting", "against"),
    "width_helps": ({"wider": fork(0.12, 0.1)}, "underfitting", "for"),
    "width_helps_on_training_images_only": ({"wider": fork(0.2, 0.05)}, "underfitting", "against"),
    "width_helps_by_luck": ({"wider": fork(0.12, 0.18)}, "underfitting", "against"),
    "width_helps_what_was_not_done_yet": (
        {"rates": {1.0: 0.15}, "wider": fork(0.1, 0.08)},
        "underfitting",
        None,
    ),
    "width_has_nothing_to_be_compared_with": ({"rates": {1.0: lost()}}, "underfitting", None),
    "its_own_steps_diverge_and_smaller_ones_help": (
        {"rates": {0.1: 0.1, 1.0: lost()}},
        "learning_rate_too_high",
        "for",
    ),
    "width_was_not_tried": ({"wider": None}, "underfitting", None),
    "stuck": ({"batch": batch(2.3, 2.25)}, "not_learning", "for"),
    "stuck_units": ({"batch": batch(2.3, 2.25)}, "dead_units", "for"),
    "stuck_gradients": ({"batch": batch(2.3, 2.25)}, "vanishing_gradients", "for"),
    "stuck_so_forks_say_nothing": ({"batch": batch(2.3, 2.25)}, "learning_rate_too_high", None),
    "moves_by_adam": ({"batch": batch(2.3, 0.01)}, "not_learning", None),
    "half_by_heart": ({"batch": batch(1.1, 1.0)}, "not_learning", None),
    "its_steps_explode": ({"batch": batch(math.inf, 0.01)}, "not_learning", None),
}


@pytest.mark.parametrize(("changes", "verdict", "wanted"), TABLE.values(), ids=TABLE.keys())
def test_each_probe_points_where_its_numbers_do(
    changes: dict[str, Any], verdict: str, wanted: str | None
) -> None:
    assert sides(outcome(**changes)).get(verdict) == wanted


def test_a_gain_within_its_noise_decides_nothing() -> None:
    """A fall by 15 % is beyond the limit; with repeats that differ by 40 % it is next to even."""
    sure, shaky = (
        next(e for e in evidence_of(outcome(rates=r)) if e.verdict == "undertrained")
        for r in (
            {1.0: 0.165},
            {f: fork(0.165 if f == 1 else 0.2, jitter=0.4) for f in FACTORS},
        )
    )
    assert sure.odds == MOST_ODDS
    assert 1 / 2 < shaky.odds < 2


def holding(probability: float) -> Condition:
    """A condition that holds with this probability."""
    return replace(Measured(1.0).condition("above", 0.0, grey=1.0), probability=probability)


@pytest.mark.parametrize(
    ("points", "probability", "odds"),
    [("for", 0.8, 4), ("against", 0.8, 1 / 4), ("for", 1.0, 9), ("against", 0.999, 1 / 9)],
)
def test_odds_are_those_of_the_weakest_condition_and_bounded(
    points: Any, probability: float, odds: float
) -> None:
    found = evidence("a", points, [holding(1.0), holding(probability)])
    assert found.odds == pytest.approx(odds)


def test_the_opposite_of_the_weakest_condition_is_evidence_against() -> None:
    holds, fails = Measured(1.0, key="x"), Measured(-1.0, key="y")
    found = weighed("a", [m.condition("above", 0.0, grey=1.0) for m in (holds, fails)])
    assert found.points == "against"
    assert [(c.key, c.wanted) for c in found.conditions] == [("y", "below")]
    assert found.probability == pytest.approx(0.8413, abs=1e-4)
