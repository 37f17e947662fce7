"""The loss of a training, built from its settings, with the weights of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from pipeline.config.guard import build
from pipeline.config.schema import Built, OurLoss
from pipeline.losses import ClassWeighted, balanced_weights


def build_loss(loss: Built, *, class_counts: np.ndarray, allow: Sequence[str]) -> nn.Module:
    """Return a module from logits ``[B, K]`` and labels ``[B]`` to a scalar mean.

    class_counts: ``[K]``, how many images of each class are trained on; they decide the weights
    of ``loss.class_weights=balanced``.  allow: packages that a person's own loss may be of.
    """
    weighted = isinstance(loss, OurLoss) and loss.class_weights == "balanced"
    arguments = loss.arguments()
    if weighted:
        arguments["reduction"] = "none"
    made: nn.Module = build(loss.target, arguments, kind=nn.Module, allow=allow, key="loss")
    return ClassWeighted(made, balanced_weights(class_counts)) if weighted else made
