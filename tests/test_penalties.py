"""The penalties against sums by hand and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.penalties import penalty, weight_matrices


def weights() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 4), (2, 1, 3, 3))
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


@pytest.mark.parametrize(
    ("l1", "l2", "expected"),
    [(0.0, 0.0, 0.0), (0.1, 0.0, 0.1 * 10), (0.0, 0.01, 0.01 * 30), (0.1, 0.01, 1.3)],
    ids=["none", "l1", "l2", "both"],
)
def test_sum_by_hand(l1: float, l2: float, expected: float) -> None:
    matrices = [torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0], [-4.0]])]
    value = penalty(matrices, l1=l1, l2=l2)
    assert value.shape == () and value.item() == pytest.approx(expected)


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_gradient_is_that_of_finite_differences(l1: float, l2: float) -> None:
    assert torch.autograd.gradcheck(lambda *w: penalty(w, l1=l1, l2=l2), tuple(weights()))


def test_gradient_has_the_documented_form() -> None:
    matrices = weights()
    with torch.no_grad():
        matrices[0][0, 0] = 0.0
    penalty(matrices, l1=0.3, l2=0.7).backward()
    for matrix in matrices:
        values = matrix.detach().numpy()
        assert matrix.grad is not None
        np.testing.assert_allclose(matrix.grad, 0.3 * np.sign(values) + 1.4 * values, rtol=1e-12)


def test_l2_is_twice_the_weight_decay_of_sgd() -> None:
    by_penalty, by_decay = (nn.Parameter(torch.tensor([[2.0, -1.0]])) for _ in range(2))
    penalty([by_penalty], l1=0.0, l2=0.05).backward()
    by_decay.grad = torch.zeros_like(by_decay)
    torch.optim.SGD([by_penalty], lr=0.5).step()
    torch.optim.SGD([by_decay], lr=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(by_penalty, by_decay)


def test_nothing_to_penalize_is_zero() -> None:
    assert penalty([], l1=1.0, l2=1.0).item() == 0.0


def test_weight_matrices_leave_out_biases_and_normalizations() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.GroupNorm(1, 2),
        nn.LayerNorm([2, 4, 4]),
        nn.PReLU(),
        nn.Flatten(),
        nn.Linear(32, 4),
        nn.LSTM(4, 2),
    )
    matrices = {id(weight) for weight in weight_matrices(network)}
    names = [name for name, parameter in network.named_parameters() if id(parameter) in matrices]
    assert names == ["0.weight", "6.weight", "7.weight_ih_l0", "7.weight_hh_l0"]


def test_a_shared_weight_counts_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert len(weight_matrices(nn.Sequential(first, second))) == 1
