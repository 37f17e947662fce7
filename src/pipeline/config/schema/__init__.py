"""The schema of ``conf/``: type, range and meaning of every value; defaults live in ``conf/``.

Sections whose option is one of ours are strict: an unknown key is an error. A section whose
``_target_`` is a person's own class takes any key; that class's signature decides (`guard.py`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.schema.base import (
    Built,
    Count,
    Name,
    NonNegative,
    Own,
    Positive,
    PositiveShare,
    Section,
    Share,
)
from pipeline.config.schema.data import DataSection, Idx, ImageFolder, OwnData, TableData
from pipeline.config.schema.networks import (
    Activation,
    CNNSettings,
    Init,
    LeakyReLU,
    MLPSettings,
    Recurrent,
    ResNetSettings,
    RNNSettings,
)
from pipeline.config.schema.objectives import (
    Focal,
    LabelSmoothing,
    OurLoss,
    OwnLoss,
    Penalty,
    PlainLoss,
)
from pipeline.config.schema.optimizers import (
    SGD,
    Adagrad,
    Adam,
    Constant,
    Cosine,
    Momentum,
    Nesterov,
    OptimizerSection,
    OwnOptimizer,
    OwnSchedule,
    RMSprop,
    Schedule,
)
from pipeline.config.schema.runs import (
    Attached,
    EvaluationSettings,
    Objective,
    SignalsSettings,
    Tracking,
    Trainer,
)

__all__ = [
    "PATHS",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "Built",
    "CNNSettings",
    "Constant",
    "Cosine",
    "Count",
    "DataSection",
    "EvaluationSettings",
    "Focal",
    "Idx",
    "ImageFolder",
    "Init",
    "LabelSmoothing",
    "LeakyReLU",
    "MLPSettings",
    "Momentum",
    "Nesterov",
    "NonNegative",
    "OurLoss",
    "Own",
    "OwnData",
    "OwnLoss",
    "OwnOptimizer",
    "OwnSchedule",
    "PlainLoss",
    "Positive",
    "PositiveShare",
    "RMSprop",
    "RNNSettings",
    "Recurrent",
    "ResNetSettings",
    "Section",
    "Settings",
    "Share",
    "TableData",
    "Tracking",
    "Trainer",
]

# Settings that are paths: a person types them relative to the working directory.
PATHS = ("data.path", "data.mirror", "initial_weights")


class Settings(Section):
    """The whole configuration of a run, validated."""

    name: Name = Field(description="name of the model and of its folders")
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        description="seed of weights, order, dropout and augmentation"
    )
    allow_targets: list[str] = Field(description="further packages that a _target_ may name")
    objective: Objective | Annotated[list[Objective], Field(min_length=1)] = Field(
        description="measure that a run returns to a sweep; or a list"
    )
    data: Idx | ImageFolder | TableData | OwnData
    augment: Built
    model: Built
    activation: Built
    init: Init
    loss: Built
    penalty: Penalty
    optimizer: OptimizerSection
    schedule: Schedule
    trainer: Trainer
    signals: SignalsSettings
    tracking: Tracking
    evaluation: EvaluationSettings
    # Runs of earlier versions have none of these.
    callbacks: Attached = Field(None, description="callbacks of Lightning, by name")
    metrics: Attached = Field(None, description="metrics of torchmetrics, by name")
    logger: Attached = Field(None, description="loggers of Lightning, by name")
    initial_weights: str | None = Field(
        None, description="safetensors file of the weights that training starts from"
    )
