"""The e-process for paired gains: its values by integration, its error by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from pipeline.diagnosis.paired_trials import FIXED
from pipeline.verification.anytime import (
    ANYTIME,
    EFFECT_VARIANCE,
    is_futile,
    log_e_values,
)

GAINS = np.array([0.21, 0.35, 0.18, 0.05, 0.4, -0.1])
DECIDES = math.log(2 * 20)  # with `SAFETY`


def marginal(gains: np.ndarray, variance: float) -> float:
    """Density of the gains under effects N(0, variance) and the Haar prior 1 / spread."""
    n = len(gains)
    shape = np.eye(n) + variance * np.ones((n, n))

    def density(log_spread: float) -> float:
        covariance = math.exp(2 * log_spread) * shape
        return float(stats.multivariate_normal(np.zeros(n), covariance).pdf(gains))

    return float(integrate.quad(density, -8, 8, limit=400)[0])


@pytest.mark.parametrize("n", [2, 3, 6])
def test_an_e_value_is_the_ratio_of_two_integrals(n: int) -> None:
    expected = marginal(GAINS[:n], EFFECT_VARIANCE) / marginal(GAINS[:n], 0.0)
    assert math.exp(log_e_values(GAINS)[n - 1]) == pytest.approx(expected, rel=1e-4)


def test_one_pair_says_nothing_and_neither_unit_nor_sign_matters() -> None:
    logs = log_e_values(GAINS)
    assert logs[0] == 0
    assert log_e_values(-1000 * GAINS) == pytest.approx(logs)


def test_equal_gains_decide_and_no_gain_never_does() -> None:
    assert log_e_values(np.full(3, 0.2))[-1] == pytest.approx(math.log(1 + 3 * EFFECT_VARIANCE))
    assert (log_e_values(np.zeros(50)) <= 0).all()


def test_evidence_that_was_there_stays() -> None:
    """A later pair may weaken the e-value, but what was decided stays decided."""
    gains = np.array([0.2, 0.201, 0.199, 0.2, -3.0])
    assert ANYTIME.p_value(gains) == ANYTIME.p_value(gains[:4]) < 0.05
    assert ANYTIME.p_value(gains[:2]) == 1.0, "two pairs never decide"


def test_the_interval_holds_what_the_e_process_does_not_reject() -> None:
    low, high = ANYTIME.interval(GAINS, 0.95)
    for end in (low, high):
        assert log_e_values(GAINS - end)[-1] == pytest.approx(DECIDES)
    assert log_e_values(GAINS - (low + high) / 2)[-1] < DECIDES
    assert ANYTIME.interval(GAINS[:2], 0.95) == (-math.inf, math.inf)


def sample(n: int, *, mean: float, spread: float) -> np.ndarray:
    """Gains with exactly this mean and spread."""
    drawn = np.random.default_rng(0).normal(size=n)
    return mean + spread * (drawn - drawn.mean()) / drawn.std(ddof=1)


def test_so_many_pairs_of_this_mean_and_spread_decide() -> None:
    needed = ANYTIME.seeds_needed(sample(5, mean=0.1, spread=0.1), 0.95)
    assert needed is not None and needed > 6
    assert log_e_values(sample(needed, mean=0.1, spread=0.1))[-1] >= DECIDES
    assert log_e_values(sample(needed - 1, mean=0.1, spread=0.1))[-1] < DECIDES
    assert ANYTIME.seeds_needed(np.array([1.0, -1.0, 0.0]), 0.95) is None


def test_only_a_hopeless_arm_is_given_up() -> None:
    asked = {"level": 0.95, "most": 20}
    assert is_futile(sample(8, mean=0.0, spread=0.1), **asked)
    assert is_futile(sample(8, mean=-0.2, spread=0.1), **asked)
    assert not is_futile(sample(8, mean=0.1, spread=0.1), **asked)
    assert not is_futile(sample(4, mean=-0.2, spread=0.1), **asked), "too early to give up"


def ever(decides: np.ndarray) -> float:
    """Share of experiments ``[N, pairs]`` that decide after three pairs or later."""
    return float(decides[:, 2:].any(axis=1).mean())


def test_gains_of_skewness_2_err_in_one_of_twenty_at_most() -> None:
    """With the theorem's threshold, without `SAFETY`, they would err more often."""
    gains = np.random.default_rng(2).exponential(size=(4000, 20)) - 1
    logs = log_e_values(gains)

    def errs(threshold: float) -> float:
        wrong = 0
        for row, decides in zip(gains, logs >= threshold, strict=True):
            for n in range(3, 21):
                if decides[n - 1]:
                    wrong += 1
                    break
                if decides[n:].any() and is_futile(row[:n], level=0.95, most=20):
                    break
        return wrong / len(gains)

    assert errs(DECIDES) <= 0.05 < errs(math.log(20))


@pytest.mark.parametrize("kind", ["normal", "heavy_tails", "skewed_losses"])
def test_experiments_without_an_effect_err_in_one_of_twenty_at_most(kind: str) -> None:
    draw = np.random.default_rng(1)
    shape = (2000, 20)
    gains = {
        "normal": lambda: draw.normal(size=shape),
        "heavy_tails": lambda: draw.standard_t(3, size=shape),
        "skewed_losses": lambda: draw.exponential(size=shape) - draw.exponential(size=shape),
    }[kind]()
    assert ever(log_e_values(gains) >= DECIDES) <= 0.05
    looks = [[FIXED.p_value(row[:n]) for n in range(3, 21)] for row in gains[:200]]
    peeking = float((np.array(looks) < 0.05).any(axis=1).mean())
    assert peeking > 0.1, "a t test at each pair errs far more often on the same gains"
