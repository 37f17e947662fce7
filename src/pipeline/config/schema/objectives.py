"""The objective of a training: losses and penalties."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.config.schema.base import Built, DropoutRate, NonNegative, Own, Section


class OurLoss(Built):
    """Keys that every loss of ours has."""

    # Runs of earlier versions have none.
    class_weights: Literal["balanced"] | None = Field(
        None, description="balanced gives a rare class the weight of a frequent one; null none"
    )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class; the weights of classes are not among them."""
        return {k: v for k, v in super().arguments().items() if k != "class_weights"}


class OwnLoss(Own):
    """A loss that is not ours, in place of one of ours, whose ``class_weights: null`` stays."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class; no weights are no argument."""
        found = super().arguments()
        return {k: v for k, v in found.items() if k != "class_weights" or v is not None}


class PlainLoss(OurLoss):
    """A loss without settings."""


class LabelSmoothing(OurLoss):
    """Cross-entropy against softened targets."""

    label_smoothing: DropoutRate = Field(
        description="probability mass that goes to all classes alike"
    )


class Focal(OurLoss):
    """Arguments of `pipeline.losses.FocalLoss`."""

    gamma: NonNegative = Field(description="how little easy images weigh; 0 is cross-entropy")


class Penalty(Section):
    """Weights of the L1 and L2 terms of the loss."""

    l1: NonNegative = Field(description="factor of the sum of |w| in the loss")
    l2: NonNegative = Field(description="factor of the sum of w² in the loss")
