"""From uint8 images to logits, with training's standardisation; float32 on the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.batches import standardisation
from pipeline.data.views import num_views, views_of
from pipeline.evaluation.scores import log_softmax
from pipeline.models.inference_threads import beside_one_another
from pipeline.models.layout import convolves, fastest_layout

# Images at once: the maps of more do not stay in the processor's cache.
BATCH, CONVOLVED = 500, 50
Answer = TypeVar("Answer")


def predict_logits(
    network: nn.Module, images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Return logits ``[N, K]`` float32 of images ``[N, C, H, W]`` uint8; N may be 0."""

    def logits(inputs: Tensor) -> np.ndarray:
        answers: np.ndarray = network(inputs).float().numpy()
        return answers

    return np.concatenate(list(in_batches(logits, network, images, mean=mean, std=std)))


def in_batches(
    answer: Callable[[Tensor], Answer],
    network: nn.Module,
    images: np.ndarray,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Iterator[Answer]:
    """Yield what ``answer`` makes of each batch, in their order; of one batch at least.

    answer: calls the network with images as it takes them, ``[B, C, H, W]`` float32.  Several calls
    may run at the same time, each in a thread of its own.
    """
    size = CONVOLVED if convolves(network) else BATCH
    parts = [images[start : start + size] for start in range(0, max(len(images), 1), size)]
    with fastest_layout(network, images.shape[1:]) as layout:

        def compute(batch: np.ndarray) -> Answer:
            inputs = torch.from_numpy(network_inputs(batch, mean=mean, std=std))
            with torch.inference_mode():
                return answer(inputs.contiguous(memory_format=layout))

        yield from beside_one_another(compute, parts, network)


def averaged_logits(
    network: nn.Module,
    images: np.ndarray,
    *,
    kinds: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> np.ndarray:
    """Return the logarithm ``[N, K]`` float64 of the mean probability over views of each image.

    images: ``[N, C, H, W]`` uint8.  kinds: of `pipeline.data.views.views_of`.
    """
    total = np.zeros(())
    for view in views_of(images, kinds):
        logits = predict_logits(network, view, mean=mean, std=std)
        total = total + np.exp(log_softmax(logits.astype(np.float64)))
    # A probability that is 0 in every view would give a loss that is infinite.
    return np.asarray(np.log(np.maximum(total / num_views(kinds), np.finfo(np.float64).tiny)))


def network_inputs(
    images: np.ndarray, *, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Return images ``[N, C, H, W]`` uint8 as the network takes them: standardised, float32."""
    shift, scale = standardisation(mean, std)
    inputs: np.ndarray = torch.addcmul(shift, torch.tensor(images).float(), scale).numpy()
    return inputs
