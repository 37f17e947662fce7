"""Dropout by few random numbers: the same distribution and gradients as torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.models.dropout import Dropout


def mask(p: float, shape: tuple[int, ...], *, seed: int = 0) -> np.ndarray:
    """Which units are kept."""
    torch.manual_seed(seed)
    return (Dropout(p)(torch.ones(shape)) != 0).numpy()


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_the_share_of_dropped_units_is_p(p: float) -> None:
    number = 10**6
    dropped = number - mask(p, (1000, 1000)).sum()
    spread = (number * p * (1 - p)) ** 0.5  # of a binomial
    assert abs(dropped - number * p) < 5 * spread


@pytest.mark.parametrize("p", [0.2, 0.5, 0.123456])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(p: float) -> None:
    torch.manual_seed(1)
    answers = Dropout(p)(torch.ones(3, 5, 7))
    kept = answers[answers != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), rtol=2e-5)


def test_units_are_dropped_independently_of_their_neighbours() -> None:
    """Four units share one random number: none of the distances to one another shows it."""
    kept = mask(0.5, (10**6,)).astype(float) - 0.5
    for distance in range(1, 9):
        together = np.mean(kept[:-distance] * kept[distance:]) / 0.25
        assert abs(together) < 5 / 1000  # five standard errors
    by_place = kept.reshape(-1, 4).mean(0)
    assert np.all(np.abs(by_place) < 5 * 0.5 / 500)


def test_gradients_pass_where_units_are_kept() -> None:
    torch.manual_seed(2)
    units = torch.randn(64, 33, requires_grad=True)
    answers = Dropout(0.3)(units)
    answers.sum().backward()
    assert units.grad is not None
    assert torch.equal(answers, units * units.grad)
    assert torch.unique(units.grad).tolist() == pytest.approx([0, 1 / 0.7], rel=2e-5)


def test_a_seed_gives_the_same_masks_again() -> None:
    assert np.array_equal(mask(0.5, (64, 33)), mask(0.5, (64, 33)))
    assert not np.array_equal(mask(0.5, (64, 33)), mask(0.5, (64, 33), seed=1))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_the_type_of_the_units_stays(kind: torch.dtype) -> None:
    assert Dropout(0.5)(torch.ones(4, 4, dtype=kind)).dtype is kind


@pytest.mark.parametrize("module", [Dropout(0.5).eval(), Dropout(0.0)], ids=["evaluation", "none"])
def test_nothing_is_dropped_in_evaluation_and_without_a_rate(module: nn.Module) -> None:
    units = torch.randn(5, 5)
    assert torch.equal(module(units), units)


def test_nearly_every_unit_may_be_dropped_and_there_may_be_none() -> None:
    assert torch.isfinite(Dropout(0.9999999)(torch.ones(1000))).all()
    assert Dropout(0.5)(torch.ones(0, 7)).shape == (0, 7)


def test_a_compiled_network_has_torchs_own_draws() -> None:
    """Views of random bits would break the graph, or give a compiler nothing to fuse."""
    compiled = torch.compile(Dropout(0.25), backend="eager", fullgraph=True)
    torch.manual_seed(3)
    ours = compiled(torch.ones(8, 8))
    torch.manual_seed(3)
    assert torch.equal(ours, nn.Dropout(0.25)(torch.ones(8, 8)))
