"""The falls that short runs show, with their noise, in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.diagnosis.probes import Fork
from pipeline.diagnosis.probes.outcome import FACTORS
from probe_outcome import N, fork, lost, outcome, sides


def test_a_fall_is_the_share_of_the_mean_loss_and_its_noise_that_of_paired_examples() -> None:
    """Equal repeats: only examples are left, and their error is that of the ratio of two means."""
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2.0, 0.1, size=N), rng.gamma(2.0, 0.12, size=N)
    same = {f: Fork(np.stack([a, a]), np.stack([a, a])) for f in FACTORS}
    o = outcome(before=Fork(b[None], b[None]), rates=same)
    found = o.fall(o.before, o.rates[1.0])
    assert found.value == pytest.approx(1 - a.mean() / b.mean())
    draws = rng.integers(N, size=(4000, N))
    resampled = 1 - a[draws].mean(1) / b[draws].mean(1)
    assert found.error == pytest.approx(resampled.std(), rel=0.05)


def test_pairing_takes_out_what_examples_share() -> None:
    o = outcome(
        rates={1.0: fork(0.18, jitter=0.0)} | {f: fork(0.2, jitter=0.0) for f in FACTORS if f != 1}
    )
    assert o.fall(o.before, o.rates[1.0]).error == pytest.approx(0.0, abs=1e-12)


def test_the_noise_of_the_order_is_in_the_error_also_where_two_repeats_agree_by_luck() -> None:
    jitter = 0.03
    o = outcome(
        rates={f: fork(0.2, jitter=jitter) for f in FACTORS if f != 1}
        | {1.0: fork(0.2, jitter=0.0)}
    )
    assert o.run_noise == pytest.approx(1.4826 * jitter * math.sqrt(2), rel=0.01)
    assert o.fall(o.before, o.rates[1.0]).error == pytest.approx(
        o.run_noise / math.sqrt(2), rel=0.01
    )


def test_a_fork_that_diverged_is_worse_than_anything() -> None:
    o = outcome(rates={10.0: lost(), 3.0: lost()})
    assert o.fall(o.before, lost()).value == -math.inf and math.isfinite(o.run_noise)
    assert sides(o)["learning_rate_too_low"] == "against"


def test_beside_a_fork_that_diverged_any_loss_is_all_lower() -> None:
    o = outcome()
    found = o.fall(lost(), o.before)
    assert (found.value, found.error) == (1.0, 0.0)
    assert o.fall(lost(), lost()).value == -math.inf


def test_nothing_lies_below_a_loss_of_zero() -> None:
    o = outcome()
    assert o.fall(fork(0.0), o.before).value == -math.inf
