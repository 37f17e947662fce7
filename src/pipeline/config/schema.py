"""The schema of ``conf/``: types and allowed ranges of every value; defaults live in ``conf/`` alone.

Sections whose option is one of ours are strict: an unknown key is an error. A section whose
``_target_`` is a person's own class takes any key; that class's signature decides (`guard.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
DropoutRate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Coefficient = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
# A name becomes a folder: letters, digits, dot, dash and underscore only, so that it cannot leave its place.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=100)]


class Section(BaseModel):
    """A node of the configuration: frozen, without implicit conversion of types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", populate_by_name=True)


class Built(Section):
    """A section that builds an object: ``_target_`` names the class, the other keys are its arguments."""

    name: Name
    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target, in the order of the schema."""
        return {key: value for key, value in self if key not in ("name", "target")}


class Own(Built):
    """A class that is not ours: its signature is checked when it is built."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)


# --- data -----------------------------------------------------------------------------------------


class DataSection(Section):
    """Keys that every data set has."""

    name: Name
    fraction: PositiveShare
    label_noise: Share
    label_noise_seed: CountOrZero
    batch_size: Count | Literal["all"]
    split_seed: CountOrZero
    stream: bool | Literal["auto"]


class Idx(DataSection):
    """A published set of four IDX files."""

    mirror: str | None
    validation_size: Count


class ImageFolder(DataSection):
    """A person's own images, one folder a class."""

    path: str
    image_size: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]
    test_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


# --- models ---------------------------------------------------------------------------------------


class MLP(Built):
    """Arguments of `pipeline.models.MLP`."""

    width: Annotated[int, Field(ge=1, le=65536)]
    depth: Annotated[int, Field(ge=0, le=200)]
    dropout: DropoutRate
    normalization: Literal["none", "batch", "layer"]


class CNN(Built):
    """Arguments of `pipeline.models.CNN`."""

    width: Annotated[int, Field(ge=1, le=4096)]
    depth: Annotated[int, Field(ge=1, le=10)]
    convs_per_block: Annotated[int, Field(ge=1, le=10)]
    kernel_size: Annotated[int, Field(ge=1, le=15)]
    padding: Literal["valid", "same"]
    pooling: Literal["max", "average"]
    dense: CountOrZero
    dropout: DropoutRate
    block_dropout: DropoutRate
    normalization: Literal["none", "batch", "layer"]


class Recurrent(Built):
    """Arguments of `pipeline.models.LSTM` and `GRU`."""

    width: Annotated[int, Field(ge=1, le=16384)]
    depth: Annotated[int, Field(ge=1, le=50)]
    dropout: DropoutRate
    normalization: Literal["none", "layer"]
    bidirectional: bool


class RNN(Recurrent):
    """Arguments of `pipeline.models.RNN`."""

    nonlinearity: Literal["tanh", "relu"]


class Activation(Built):
    """A parameterless activation of torch.nn."""


class LeakyReLU(Built):
    """Arguments of `torch.nn.LeakyReLU`."""

    negative_slope: Finite


# --- initialisation, loss, penalty -----------------------------------------------------------------


class ScaledInit(Section):
    """He or Xavier."""

    name: Literal["he", "xavier"]
    distribution: Literal["normal", "uniform"]
    gain: Positive
    bias: Finite


class GainInit(Section):
    """Orthogonal or LeCun."""

    name: Literal["orthogonal", "lecun"]
    gain: Positive
    bias: Finite


class NormalInit(Section):
    """Every weight from one normal distribution."""

    name: Literal["normal"]
    std: NonNegative
    bias: Finite


class ZerosInit(Section):
    """All weights zero."""

    name: Literal["zeros"]
    bias: Finite


class DefaultInit(Section):
    """Left as torch made it."""

    name: Literal["default"]


Init = Annotated[ScaledInit | GainInit | NormalInit | ZerosInit | DefaultInit, Field(discriminator="name")]


class PlainLoss(Built):
    """A loss without settings."""


class LabelSmoothing(Built):
    """Cross-entropy against softened targets."""

    label_smoothing: DropoutRate


class Focal(Built):
    """Arguments of `pipeline.losses.FocalLoss`."""

    gamma: NonNegative


class Penalty(Section):
    """Weights of the L1 and L2 terms of the loss."""

    l1: NonNegative
    l2: NonNegative


# --- optimizer and schedule ------------------------------------------------------------------------


class OptimizerSection(Built):
    """Keys that every optimizer has."""

    learning_rate: Positive
    weight_decay: NonNegative

    def options(self) -> dict[str, Any]:
        """Return the arguments beyond learning rate and weight decay, under torch's names."""
        taken = ("learning_rate", "weight_decay")
        return {key: value for key, value in self.arguments().items() if key not in taken}


class SGD(OptimizerSection):
    """Stochastic gradient descent without momentum."""


class Momentum(OptimizerSection):
    """SGD with heavy-ball momentum."""

    momentum: Coefficient


class Nesterov(Momentum):
    """SGD with Nesterov momentum."""

    nesterov: Literal[True]


class Adam(OptimizerSection):
    """Adam and AdamW."""

    betas: Annotated[list[Coefficient], Field(min_length=2, max_length=2)]
    eps: Positive


class RMSprop(OptimizerSection):
    """RMSprop."""

    alpha: Coefficient
    momentum: Coefficient
    eps: Positive


class Adagrad(OptimizerSection):
    """Adagrad."""

    lr_decay: NonNegative
    eps: Positive


class OwnOptimizer(OptimizerSection):
    """An optimizer that is not in ``conf/optimizer``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)


class WarmUp(Section):
    """A linear rise from zero over the first epochs."""

    warmup_epochs: NonNegative


class Constant(WarmUp):
    """The same learning rate throughout."""

    name: Literal["constant"]


class Cosine(WarmUp):
    """A half cosine down to ``final_factor`` of the learning rate."""

    name: Literal["cosine"]
    final_factor: Share


class OneCycle(Section):
    """One rise and one fall."""

    name: Literal["onecycle"]
    warmup_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    initial_factor: PositiveShare
    final_factor: Share


class Step(WarmUp):
    """Multiplied by ``decay`` every ``every_epochs``."""

    name: Literal["step"]
    every_epochs: Count
    decay: PositiveShare


class Plateau(WarmUp):
    """Multiplied by ``decay`` when val/loss stalls."""

    name: Literal["plateau"]
    decay: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
    patience: CountOrZero


Schedule = Annotated[Constant | Cosine | OneCycle | Step | Plateau, Field(discriminator="name")]


# --- trainer, tracking, evaluation -----------------------------------------------------------------


class Trainer(Section):
    """How long, on what, how exactly."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: Count | Literal["auto"]
    strategy: Literal["auto", "ddp"]
    precision: Literal["auto", "32", "bf16", "16"]
    channels_last: bool | Literal["auto"]
    max_epochs: Count
    gradient_clip_norm: Positive | None
    early_stopping_patience: Count | None
    keep: Literal["last", "best"]
    probe_size: Count
    overfit_batches: CountOrZero
    deterministic: bool
    num_threads: Count | None

    @model_validator(mode="before")
    @classmethod
    def _precision_as_text(cls, values: Any) -> Any:
        # trainer.precision=32 arrives as a number from the command line; it means the same.
        if isinstance(values, dict) and values.get("precision") in (16, 32):
            return {**values, "precision": str(values["precision"])}
        return values


class Tracking(Section):
    """Where the record of runs is kept."""

    enabled: bool
    uri: str
    experiment: Name
    tensorboard: bool
    model: bool | Literal["auto"]


class Signals(Section):
    """What is measured of the network after each epoch, see docs/signals.md."""

    enabled: bool
    probe_size: Annotated[int, Field(ge=10)]
    seed: CountOrZero


class Evaluation(Section):
    """What a trained model is measured on beside the test set."""

    other_sets: Literal["auto"] | list[Name]
    corruptions: list[Literal["shift", "rotation", "noise", "blur", "contrast"]]
    severities: list[Annotated[int, Field(ge=1, le=5)]]
    corruption_size: Count
    num_resamples: Annotated[int, Field(ge=100)]
    num_mistakes: Annotated[int, Field(ge=1, le=100)]


Objective = Literal[
    "val/loss",
    "val/accuracy",
    "val/cross_entropy",
    "train/loss",
    "train/accuracy",
    "train/cross_entropy",
    "parameters",
    "seconds",
]


class Settings(Section):
    """The whole configuration of a run, validated."""

    name: Name
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    allow_targets: list[str]
    objective: Objective | Annotated[list[Objective], Field(min_length=1)]
    data: Idx | ImageFolder
    augment: Built
    model: Built
    activation: Built
    init: Init
    loss: Built
    penalty: Penalty
    optimizer: OptimizerSection
    schedule: Schedule
    trainer: Trainer
    signals: Signals
    tracking: Tracking
    evaluation: Evaluation
