"""The losses against closed forms and finite differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.losses import ClassWeighted, FocalLoss, MeanSquaredError, balanced_weights

LOSSES = {
    "mse": MeanSquaredError(),
    "focal-0": FocalLoss(gamma=0.0),
    "focal-0.5": FocalLoss(gamma=0.5),
    "focal-2": FocalLoss(gamma=2.0),
}


def batch(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator, dtype=dtype), torch.tensor([0, 1, 2, 3, 0, 3])


def logits_of(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", ((0.7 - 1) ** 2 + 0.2**2 + 0.1**2) / 3),
        ("focal-0", -math.log(0.7)),
        ("focal-0.5", -math.sqrt(0.3) * math.log(0.7)),
        ("focal-2", -(0.3**2) * math.log(0.7)),
    ],
)
def test_closed_form(loss: str, expected: float) -> None:
    value = LOSSES[loss](logits_of(0.7, 0.2, 0.1), torch.tensor([0]))
    assert value.shape == () and value.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_gradient_is_that_of_finite_differences(loss: nn.Module) -> None:
    logits, labels = batch()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits.requires_grad_(),))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_loss_is_the_mean_over_the_batch(loss: nn.Module) -> None:
    logits, labels = batch()
    singly = [loss(logits[i : i + 1], labels[i : i + 1]).item() for i in range(6)]
    assert loss(logits, labels).item() == pytest.approx(sum(singly) / 6)


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, labels = batch()
    torch.testing.assert_close(
        FocalLoss(gamma=0.0)(logits, labels), nn.CrossEntropyLoss()(logits, labels)
    )


@pytest.mark.parametrize(
    ("logit", "expected"),
    [
        # Certain and right: nothing to learn. Certain and wrong: cross entropy grows with the logit
        (200.0, {"mse": 0.0, "focal-0": 0.0, "focal-0.5": 0.0, "focal-2": 0.0}),
        (-200.0, {"mse": 1.0, "focal-0": 200.0, "focal-0.5": 200.0, "focal-2": 200.0}),
    ],
    ids=["right", "wrong"],
)
@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_logits_give_finite_losses_and_gradients(
    loss: str, logit: float, expected: dict[str, float]
) -> None:
    logits = torch.tensor([[logit, 0.0]], requires_grad=True)
    value = LOSSES[loss](logits, torch.tensor([0]))
    value.backward()
    assert value.item() == pytest.approx(expected[loss])
    assert logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_float32_inside_under_autocast(loss: Any) -> None:
    logits, labels = batch(torch.float32)
    halved = logits.to(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(halved, labels)
    assert value.dtype == torch.float32
    assert value.item() == loss(halved.float(), labels).item()


SINGLY = {
    "cross_entropy": nn.CrossEntropyLoss(reduction="none"),
    "mse": MeanSquaredError(reduction="none"),
    "focal-2": FocalLoss(gamma=2.0, reduction="none"),
}


@pytest.mark.parametrize("name", SINGLY)
def test_the_losses_of_single_examples_have_the_mean_of_the_whole(name: str) -> None:
    logits, labels = batch()
    losses = SINGLY[name](logits, labels)
    whole = nn.CrossEntropyLoss() if name == "cross_entropy" else LOSSES[name]
    assert losses.shape == (6,)
    torch.testing.assert_close(losses.mean(), whole(logits, labels))


def test_weighted_cross_entropy_is_torch_s_sum_over_the_number_of_examples() -> None:
    logits, labels = batch()
    weights = np.array([0.5, 2.0, 1.0, 4.0])
    weighted = ClassWeighted(nn.CrossEntropyLoss(reduction="none"), weights)
    by_torch = nn.CrossEntropyLoss(weight=torch.tensor(weights), reduction="sum")
    torch.testing.assert_close(weighted(logits, labels), by_torch(logits, labels) / 6)
    assert "weights" not in weighted.state_dict()  # a checkpoint keeps only what was learned


def test_balanced_weights_are_those_of_scikit_learn_and_have_a_mean_of_one() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [70, 25, 5])
    weights = balanced_weights(np.bincount(labels))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    assert weights[labels].mean() == pytest.approx(1.0)


def test_a_class_without_examples_leaves_the_mean_of_the_balanced_weights_at_one() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 2], [70, 30])
    weights = balanced_weights(np.bincount(labels, minlength=4))
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=labels)
    np.testing.assert_allclose(weights[[0, 2]], expected, rtol=1e-12)
    assert weights[labels].mean() == pytest.approx(1.0)
    assert np.isfinite(weights).all()
