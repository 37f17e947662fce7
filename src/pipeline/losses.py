"""Losses from logits ``[B, K]`` and labels ``[B]`` int64 to a scalar, the mean over the batch.

Cross entropy, also with label smoothing, is ``torch.nn.CrossEntropyLoss`` itself.
With ``reduction="none"`` they return the loss of each example ``[B]``, as torch's losses do.
All are computed in float32 at least, under autocast too.  An empty batch gives NaN, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Reduction = Literal["mean", "none"]


class MeanSquaredError(nn.Module):
    """Mean over batch and classes of ``(softmax(logits) - one_hot(label))²``, 0 … 2 / K.

    Keras' ``mse`` on a softmax output: Brier's score divided by the number of classes.
    """

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        probabilities = _at_least_float32(logits).softmax(dim=1)
        targets = F.one_hot(labels, num_classes=logits.shape[1]).to(probabilities.dtype)
        if self.reduction == "mean":
            return F.mse_loss(probabilities, targets)
        return F.mse_loss(probabilities, targets, reduction="none").mean(1)


class FocalLoss(nn.Module):
    """Mean of ``-(1 - p)^gamma · log p``, where p is the probability given to the label.

    Lin et al. (2017), Focal Loss for Dense Object Detection, equation 4.  gamma ≥ 0; with 0 it is
    cross entropy, and larger values give more weight to the examples that are still wrong.
    """

    def __init__(self, *, gamma: float, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.gamma = gamma
        self.reduction = reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        log_p = -F.cross_entropy(_at_least_float32(logits), labels, reduction="none")
        # At 0 the slope of a power below 1 is infinite, and the gradient would be NaN
        miss = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        losses = -(miss**self.gamma * log_p)
        return losses.mean() if self.reduction == "mean" else losses


class ClassWeighted(nn.Module):
    """Mean over the batch of ``weights[label] · loss``.

    The sum is divided by the number of examples, not by the sum of their weights as torch does:
    an example then has the same weight in every batch.

    loss: returns the loss of each example ``[B]``.  weights: of each class ``[K]``, ≥ 0.
    """

    weights: Tensor

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor], weights: np.ndarray) -> None:
        super().__init__()
        self.loss = loss
        values = torch.tensor(weights, dtype=torch.float32)
        self.register_buffer("weights", values, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        losses = self.loss(logits, labels)
        return (losses * self.weights[labels]).mean()


def balanced_weights(class_counts: np.ndarray) -> np.ndarray:
    """Return ``N / (P · n_k)`` for each class ``[K]``: their mean over the examples is 1.

    class_counts: ``[K]``, examples of each class; P classes have any.  A class without any counts
    as one example.
    King and Zeng, Logistic Regression in Rare Events Data, 2001; scikit-learn's ``balanced``.
    """
    counts = np.maximum(class_counts, 1)
    return np.asarray(class_counts.sum() / ((class_counts > 0).sum() * counts), dtype=np.float64)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
