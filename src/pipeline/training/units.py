"""Statistics of the units of one activation: dead, saturated, mean and spread."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SATURATED = 0.95
# Number of values that spread and saturation are measured on: enough for a negligible error
ENOUGH = 2**21
# Most units are active on some of the first examples, so that few remain to be checked on the rest
FIRST = 32


@dataclass(frozen=True)
class UnitSummary:
    """One activation at one moment.

    dead: share of units that are 0 on every example (and position), 0 … 1.
    saturation: mean over units of 1 - f'(x) / max f', 0 … 1.  saturated: share of units above 0.95.
    Both NaN for activations other than tanh and sigmoid.
    mean: over all values.  std: root of the units' mean variance over examples (and positions).
    """

    num_units: int
    dead: float
    saturation: float
    saturated: float
    mean: float
    std: float


class UnitStatistics:
    """Collects one activation's outputs over the batches of a sample.

    kind: see `anatomy.KINDS`.
    unit_dim: dimension of the units; all other dimensions are examples and positions.
    """

    def __init__(self, kind: str, *, unit_dim: int) -> None:
        self.kind = kind
        self.unit_dim = unit_dim
        self._alive: Tensor | None = None
        self._values: tuple[Tensor, ...] = ()

    def add(self, output: Tensor) -> None:
        """Add a batch ``[B, U]``, ``[B, U, H, W]``, ``[B, T, U]``; the first gives mean and std."""
        if self._alive is None:
            num_units = output.shape[self.unit_dim]
            self._alive = torch.zeros(num_units, dtype=torch.bool, device=output.device)
            self._values = self._moments(output)
        for part in (output[:FIRST], output[FIRST:]):
            silent = (~self._alive).nonzero().squeeze(1)
            if len(silent) == 0 or part.numel() == 0:
                return
            if len(silent) < len(self._alive):
                part = part.index_select(self.unit_dim, silent)
            self._alive[silent] = (part != 0).any(_others(part, self.unit_dim))

    def _moments(self, output: Tensor) -> tuple[Tensor, ...]:
        few = max(FIRST, ENOUGH // max(1, output[0].numel()))
        values = output[:few].float()
        others = _others(values, self.unit_dim)
        variance, mean = torch.var_mean(values, dim=others, correction=0)
        if self.kind == "tanh":  # f' = 1 - y², at most 1
            lost = values.square().mean(others)
        elif self.kind == "sigmoid":  # f' = y (1 - y), at most 1/4
            lost = (2 * values - 1).square().mean(others)
        else:
            lost = torch.full_like(mean, math.nan)
        above = torch.where(lost.isnan(), lost, (lost > SATURATED).float())
        return lost.mean(), above.mean(), mean.mean(), variance.mean().sqrt()

    def summary(self) -> UnitSummary:
        """Return the numbers, copied from the device."""
        assert self._alive is not None
        dead = (~self._alive).float().mean()
        values = [float(v) for v in torch.stack([dead, *self._values]).tolist()]
        return UnitSummary(len(self._alive), *values)


def _others(values: Tensor, unit_dim: int) -> tuple[int, ...]:
    kept = unit_dim % values.ndim
    return tuple(dim for dim in range(values.ndim) if dim != kept)
