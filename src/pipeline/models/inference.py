"""From uint8 images to logits, with training's standardisation; float32 on the processor."""

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
    """Return logits ``[N, K]`` float32 of images ``[N, C, H, W]`` uint8; N may be 0."""
    parts = []
    with torch.inference_mode():
        for start in range(0, max(len(images), 1), BATCH):
            batch = network_inputs(images[start : start + BATCH], mean=mean, std=std)
            parts.append(network(torch.from_numpy(batch)).float().numpy())
    return np.concatenate(parts)


def network_inputs(
    images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Return images ``[N, C, H, W]`` uint8 as the network takes them: standardised, float32."""
    shift, scale = standardisation(mean, std)
    inputs: np.ndarray = torch.addcmul(shift, torch.tensor(images).float(), scale).numpy()
    return inputs
