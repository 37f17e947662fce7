"""The moments of a training, one by one and as one tensor for each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Moment = dict[str, Tensor]
"""What was measured at one moment, by name."""


def stacked(moments: Sequence[Moment]) -> Moment:
    """Return each number of all moments, ``[M, …]``; empty without a moment.

    All moments have the same names and shapes.
    """
    first = moments[0] if moments else {}
    return {key: torch.stack([moment[key] for moment in moments]) for key in first}


def unstacked(numbers: Mapping[str, Tensor]) -> list[Moment]:
    """Return the moments that `stacked` was given."""
    columns = [values.unbind() for values in numbers.values()]
    return [dict(zip(numbers, row, strict=True)) for row in zip(*columns, strict=True)]
