"""Optimizers, and schedules of the learning rate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.config.schema.base import (
    Built,
    Coefficient,
    Count,
    CountOrZero,
    NonNegative,
    Positive,
    PositiveShare,
    Section,
    Share,
)


class OptimizerSection(Built):
    """Keys that every optimizer has."""

    learning_rate: Positive = Field(description="size of a step; its peak under a schedule")
    weight_decay: NonNegative = Field(description="decay of the weights")

    def options(self) -> dict[str, Any]:
        """Return the arguments beyond learning rate and weight decay, under torch's names."""
        taken = ("learning_rate", "weight_decay")
        return {key: value for key, value in self.arguments().items() if key not in taken}


class SGD(OptimizerSection):
    """Stochastic gradient descent without momentum."""


class Momentum(OptimizerSection):
    """SGD with heavy-ball momentum."""

    momentum: Coefficient = Field(description="share of the last step that is kept")


class Nesterov(Momentum):
    """SGD with Nesterov momentum."""

    nesterov: Literal[True] = Field(description="Nesterov's momentum")


class Adam(OptimizerSection):
    """Adam and AdamW."""

    betas: Annotated[list[Coefficient], Field(min_length=2, max_length=2)] = Field(
        description="decay of the two moving averages"
    )
    eps: Positive = Field(description="added to the denominator")


class RMSprop(OptimizerSection):
    """RMSprop."""

    alpha: Coefficient = Field(description="decay of the moving average")
    momentum: Coefficient = Field(description="share of the last step that is kept")
    eps: Positive = Field(description="added to the denominator")


class Adagrad(OptimizerSection):
    """Adagrad."""

    lr_decay: NonNegative = Field(description="decay of the learning rate a step")
    eps: Positive = Field(description="added to the denominator")


class OwnOptimizer(OptimizerSection):
    """An optimizer that is not in ``conf/optimizer``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)


class WarmUp(Section):
    """A linear rise from zero over the first epochs."""

    warmup_epochs: NonNegative = Field(
        description="epochs in which the learning rate rises from zero"
    )


class Constant(WarmUp):
    """The same learning rate throughout."""

    name: Literal["constant"]


class Cosine(WarmUp):
    """A half cosine down to ``final_factor`` of the learning rate."""

    name: Literal["cosine"]
    final_factor: Share = Field(description="last learning rate, as a share of the peak")


class OneCycle(Section):
    """One rise and one fall."""

    name: Literal["onecycle"]
    warmup_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the training in which the learning rate rises"
    )
    initial_factor: PositiveShare = Field(description="first learning rate, as a share of the peak")
    final_factor: Share = Field(description="last learning rate, as a share of the peak")


class Step(WarmUp):
    """Multiplied by ``decay`` every ``every_epochs``."""

    name: Literal["step"]
    every_epochs: Count = Field(description="epochs between two steps down")
    decay: PositiveShare = Field(description="factor of each step down")


class Plateau(WarmUp):
    """Multiplied by ``decay`` when val/loss stalls."""

    name: Literal["plateau"]
    decay: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="factor of each step down"
    )
    patience: CountOrZero = Field(description="epochs without a lower val/loss before a step down")


class OwnSchedule(Section):
    """A learning-rate scheduler of torch or of a person's own."""

    name: Literal["own"]
    target: str = Field(alias="_target_", description="class of the scheduler")
    interval: Literal["epoch", "step"] = Field(description="when it is stepped")
    arguments: dict[str, Any] | None = Field(description="its arguments")


Schedule = Annotated[
    Constant | Cosine | OneCycle | Step | Plateau | OwnSchedule, Field(discriminator="name")
]
