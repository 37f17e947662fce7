"""Losses from logits ``[B, K]`` and labels ``[B]`` int64 to a scalar, the mean over the batch.

Cross entropy, also with label smoothing, is ``torch.nn.CrossEntropyLoss`` itself.
All are computed in float32 at least, under autocast too.  An empty batch gives NaN, as in torch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MeanSquaredError(nn.Module):
    """Mean over batch and classes of ``(softmax(logits) - one_hot(label))²``, 0 … 2 / K.

    Keras' ``mse`` on a softmax output: Brier's score divided by the number of classes.
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        probabilities = _at_least_float32(logits).softmax(dim=1)
        targets = F.one_hot(labels, num_classes=logits.shape[1]).to(probabilities.dtype)
        return F.mse_loss(probabilities, targets)


class FocalLoss(nn.Module):
    """Mean of ``-(1 - p)^gamma · log p``, where p is the probability given to the label.

    Lin et al. (2017), Focal Loss for Dense Object Detection, equation 4.  gamma ≥ 0; with 0 it is
    cross entropy, and larger values give more weight to the examples that are still wrong.
    """

    def __init__(self, *, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the scalar loss."""
        log_p = -F.cross_entropy(_at_least_float32(logits), labels, reduction="none")
        # At 0 the slope of a power below 1 is infinite, and the gradient would be NaN
        miss = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
        return -(miss**self.gamma * log_p).mean()


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
