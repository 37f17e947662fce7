"""The gradient of the loss that reaches each time step of a recurrent layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Enough for a mean over examples; computing the layer step by step is slow
NUM_EXAMPLES = 64


def can_unroll(layer: nn.RNNBase | None) -> bool:
    """Return whether `time_step_norms` can measure the layer: it must read in one direction."""
    return layer is not None and not layer.bidirectional


def time_step_norms(layer: nn.RNNBase, forward: Callable[[], Tensor], labels: Tensor) -> Tensor:
    """Return ``[T]``: the mean over examples of ‖∂ loss / ∂ state_t‖ for every time step t.

    layer: reads in one direction, ``[B, T, …]`` or ``[T, B, …]`` tensors.  forward: runs the
    network on a batch and returns its logits ``[B, K]``.  The loss is each example's cross-entropy.
    The state is what the layer passes to its next step: h of all its levels, and c of an LSTM.
    """
    states: list[tuple[Tensor, ...]] = []

    def unrolled(module: nn.RNNBase, args: Any, kwargs: Any, _: Any) -> Any:
        """Return the layer's own output, computed step by step to differentiate each state."""
        time = 1 if module.batch_first else 0
        state = args[1] if len(args) > 1 else kwargs.get("hx")
        inputs, outputs = args[0] if args else kwargs["input"], []
        for step in inputs.split(1, dim=time):
            _, state = module.forward(step, state)
            parts = state if isinstance(state, tuple) else (state,)
            states.append(tuple(p if p.requires_grad else p.requires_grad_() for p in parts))
            # The output is the top level's state; every path must lead through that tensor
            outputs.append(states[-1][0][-1].unsqueeze(time))
        return torch.cat(outputs, dim=time), state

    hook = layer.register_forward_hook(unrolled, with_kwargs=True)
    try:
        logits = forward()
    finally:
        hook.remove()
    loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
    flat = [part for parts in states for part in parts]
    gradients = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
    squares = torch.stack([g.float().square().sum((0, 2)) for g in gradients])  # [T · parts, B]
    per_step = squares.view(len(states), -1, squares.shape[1]).sum(1)
    return per_step.sqrt().mean(1)
