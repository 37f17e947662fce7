"""From uint8 images to logits, as the network saw them in training; exact float32 on the processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from pipeline.data.batches import standardisation

BATCH = 500


def predict_logits(
    network: nn.Module, images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Return logits ``[N, K]`` float32 of ``images [N, C, H, W]`` uint8; no images give ``[0, K]``."""
    shift, scale = standardisation(mean, std)
    parts = []
    with torch.inference_mode():
        for start in range(0, max(len(images), 1), BATCH):
            pixels = torch.tensor(images[start : start + BATCH])
            parts.append(network(torch.addcmul(shift, pixels.float(), scale)).float().numpy())
    return np.concatenate(parts)
