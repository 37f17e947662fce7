"""What the steps of an epoch do: their gradients, and how far they move the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.training.anatomy import Layer
from pipeline.training.moments import Moment
from pipeline.training.steady import steady_threads

# A norm costs 2 % of a small step: longer epochs take it at every second, third, … step only.
MANY_STEPS = 500


class EpochSteps:
    """Looks at the steps of one epoch, which begins when this is made.

    first: optimizer steps before the epoch.  num_batches: of the epoch; infinite for a stream.
    gradient_norms: of the whole gradient before clipping, on the device, one for each step or, in
    long epochs, for each second, third, … one.
    """

    def __init__(self, layers: Sequence[Layer], *, first: int, num_batches: float) -> None:
        self.gradient_norms: list[Tensor] = []
        self._layers = layers
        self._first = first
        self._every = max(1, int(num_batches) // MANY_STEPS) if math.isfinite(num_batches) else 1
        self._at_start = self._copies()
        self._at_last: list[Tensor] = []

    def before_last(self) -> None:
        """Keep the weights before the epoch's last batch."""
        self._at_last = self._copies()

    def before_step(self, optimizer: torch.optim.Optimizer, *, step: int) -> None:
        """Keep the norm of the gradient, without waiting for its value. step: in the training."""
        if (step - self._first) % self._every:
            return
        groups = optimizer.param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        with steady_threads():
            self.gradient_norms.append(torch.nn.utils.get_total_norm(gradients))

    def updates(self, weight_norms: Tensor, *, step: int) -> Moment:
        """Return each layer's updates relative to its weights: the mean step and the last one.

        weight_norms: of each layer now.  step: optimizer steps of the training so far.
        """
        num_steps = (step - self._first) or math.nan
        return {
            "layers/update_ratio": self._change(self._at_start, weight_norms) / num_steps,
            "layers/last_update_ratio": self._change(self._at_last, weight_norms),
        }

    def _copies(self) -> list[Tensor]:
        return [w.detach().clone() for layer in self._layers for w in layer.weights]

    def _change(self, before: Sequence[Tensor], weight_norms: Tensor) -> Tensor:
        """Return ‖W - W before‖ / ‖W‖ of each layer; NaN without a before, and where W is 0."""
        if not before:
            return torch.full_like(weight_norms, math.nan)
        remaining = iter(before)
        differences = [
            torch.nn.utils.get_total_norm([w.detach() - next(remaining) for w in layer.weights])
            for layer in self._layers
        ]
        moved = torch.stack(differences).float().cpu()
        return torch.where(weight_norms > 0, moved / weight_norms, torch.nan)


def no_updates(weight_norms: Tensor) -> Moment:
    """Return the updates of layers before the first step: NaN."""
    nothing = torch.full_like(weight_norms, math.nan)
    return {"layers/update_ratio": nothing, "layers/last_update_ratio": nothing.clone()}
