"""A wider network that gives the logits of a narrower one: new units have no effect at first.

Chen, Goodfellow, Shlens, Net2Net: Accelerating Learning via Knowledge Transfer, 2016, copies
units. Here new units start from their own random weights, and their outgoing weights are zero (Evci
et al., GradMax, 2022), so that they differ from the old ones at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GATES: dict[type[nn.Module], int] = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4}


class NotWidened(Exception):
    """The wide network would give other logits than the narrow one. The message says why."""


@torch.no_grad()
def embed(narrow: nn.Module, wide: nn.Module, *, images: Tensor) -> None:
    """Put the weights of ``narrow`` into ``wide``, in place; both give the same logits afterwards.

    wide: of the same kind, with units added at the end of layers, freshly initialised.
    images: ``[N, C, H, W]`` float, on which the logits are compared, in evaluation mode.
    Raises `NotWidened` where parts do not correspond, or the logits differ.  They do with layer
    normalization, whose mean is over old and new units, and with two directions side by side.
    """
    modules = dict(narrow.named_modules())
    for name, module in wide.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for key, target in own:
            source = getattr(modules.get(name), key, None)
            if not isinstance(source, Tensor) or source.ndim != target.ndim:
                raise NotWidened(
                    f"{name}.{key} has nothing that corresponds to it in the narrow network"
                )
            _place(target, source, gates=GATES.get(type(module), 1))
    before, after = narrow.eval()(images), wide.eval()(images)
    if not torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max())):
        raise NotWidened(
            "its logits change: layer normalization or two directions mix old and new units"
        )


def _place(target: Tensor, source: Tensor, *, gates: int) -> None:
    """Copy ``source`` into the leading corner of ``target``, gate by gate.

    The weights from new units to old ones become 0.
    """
    if target.ndim == 0:
        target.copy_(source)
        return
    if any(t < s for t, s in zip(target.shape, source.shape, strict=True)):
        raise NotWidened("a layer of the wide network is narrower")
    for into, old in zip(target.chunk(gates), source.chunk(gates), strict=True):
        rows = into[: len(old)]
        if rows.ndim > 1:
            rows[:, old.shape[1] :] = 0
            rows = rows[:, : old.shape[1]]
        rows.copy_(old)
