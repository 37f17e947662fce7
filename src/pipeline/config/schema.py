"""The schema of ``conf/``: type, range and meaning of every value; defaults live in ``conf/``.

Sections whose option is one of ours are strict: an unknown key is an error. A section whose
``_target_`` is a person's own class takes any key; that class's signature decides (`guard.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.passwords import reveal

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
PositiveShare = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
DropoutRate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Coefficient = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
# A name becomes a folder. These characters cannot lead out of its place.
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=100)
]


# Settings that are paths: a person types them relative to the working directory.
PATHS = ("data.path", "data.mirror")


class Section(BaseModel):
    """A node of the configuration: frozen, without implicit conversion of types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", populate_by_name=True)


class Built(Section):
    """A section that builds an object of the class ``_target_``; the other keys are arguments."""

    name: Name
    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target, in the order of the schema."""
        return {key: value for key, value in self if key not in ("name", "target")}


class Own(Built):
    """A class that is not ours: its signature is checked when it is built."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)


# --- data ---


class DataSection(Section):
    """Keys that every data set has."""

    name: Name = Field(description="name of the data set and of its folders")
    fraction: PositiveShare = Field(description="share of the training part that is used")
    label_noise: Share = Field(description="share of the training images whose labels are shuffled")
    label_noise_seed: CountOrZero = Field(description="seed of that shuffling")
    batch_size: Count | Literal["all"] = Field(description="images in one step on one device")
    split_seed: CountOrZero = Field(description="seed of the split into training and validation")
    stream: bool | Literal["auto"] = Field(
        description="leave the images on disk; auto decides by the memory"
    )

    def preparation(self) -> dict[str, Any]:
        """Return the settings that decide the content of the prepared data."""
        return {key: value for key, value in self if key not in _WITHOUT_EFFECT_ON_PREPARED}


# Settings of a data set that training applies, or that only say where the files come from.
_WITHOUT_EFFECT_ON_PREPARED = (
    "name",
    "fraction",
    "label_noise",
    "label_noise_seed",
    "batch_size",
    "stream",
    "mirror",
)


class Idx(DataSection):
    """A published set of four IDX files."""

    mirror: str | None = Field(description="folder or URL with the four files, tried first")
    validation_size: Count = Field(description="images of the validation part")


class ImageFolder(DataSection):
    """A person's own images, one folder a class."""

    path: str = Field(description="folder with one folder of images a class")
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(
        description="height and width in pixels"
    )
    channels: Literal[1, 3] = Field(description="1 for grey, 3 for colour")
    test_fraction: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="share of the images that is tested on"
    )
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="images, or share, of the validation part"
    )


class OwnData(DataSection):
    """A person's own LightningDataModule; further keys are its arguments."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)

    target: str = Field(alias="_target_", description="class of the LightningDataModule")
    validation_size: Count | Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = Field(
        description="images, or share, of the validation part where the module has none"
    )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the class."""
        return dict(self.model_extra or {})


# --- models ---


class MLPSettings(Built):
    """Arguments of `pipeline.models.MLP`."""

    width: Annotated[int, Field(ge=1, le=65536)] = Field(description="units of a hidden layer")
    depth: Annotated[int, Field(ge=0, le=200)] = Field(description="hidden layers")
    dropout: DropoutRate = Field(description="probability that a unit is dropped")
    normalization: Literal["none", "batch", "layer"] = Field(
        description="normalization of a hidden layer"
    )


class CNNSettings(Built):
    """Arguments of `pipeline.models.CNN`."""

    width: Annotated[int, Field(ge=1, le=4096)] = Field(description="channels of the first block")
    depth: Annotated[int, Field(ge=1, le=10)] = Field(
        description="blocks; each doubles the channels"
    )
    convs_per_block: Annotated[int, Field(ge=1, le=10)] = Field(
        description="convolutions in one block"
    )
    kernel_size: Annotated[int, Field(ge=1, le=15)] = Field(
        description="height and width of a kernel"
    )
    padding: Literal["valid", "same"] = Field(description="valid shrinks the image, same keeps it")
    pooling: Literal["max", "average"] = Field(description="pooling at the end of a block")
    dense: CountOrZero = Field(description="units of the dense layer; 0 for none")
    dropout: DropoutRate = Field(description="probability that a unit is dropped before the output")
    block_dropout: DropoutRate = Field(
        description="probability that a channel is dropped after a block"
    )
    normalization: Literal["none", "batch", "layer"] = Field(
        description="normalization of a convolution"
    )


class Recurrent(Built):
    """Arguments of `pipeline.models.LSTM` and `GRU`."""

    width: Annotated[int, Field(ge=1, le=16384)] = Field(description="units of the state")
    depth: Annotated[int, Field(ge=1, le=50)] = Field(description="layers")
    dropout: DropoutRate = Field(description="probability that a unit is dropped")
    normalization: Literal["none", "layer"] = Field(description="normalization of a layer")
    bidirectional: bool = Field(description="read the image also from bottom to top")


class RNNSettings(Recurrent):
    """Arguments of `pipeline.models.RNN`."""

    nonlinearity: Literal["tanh", "relu"] = Field(description="nonlinearity of the state")


class Activation(Built):
    """A parameterless activation of torch.nn."""


class LeakyReLU(Built):
    """Arguments of `torch.nn.LeakyReLU`."""

    negative_slope: Finite = Field(description="slope below zero")


# --- initialisation, loss, penalty ---


class ScaledInit(Section):
    """He or Xavier."""

    name: Literal["he", "xavier"]
    distribution: Literal["normal", "uniform"] = Field(description="distribution of the weights")
    gain: Positive = Field(description="factor on the scale")
    bias: Finite = Field(description="value of every bias")


class GainInit(Section):
    """Orthogonal or LeCun."""

    name: Literal["orthogonal", "lecun"]
    gain: Positive = Field(description="factor on the scale")
    bias: Finite = Field(description="value of every bias")


class NormalInit(Section):
    """Every weight from one normal distribution."""

    name: Literal["normal"]
    std: NonNegative = Field(description="standard deviation of the weights")
    bias: Finite = Field(description="value of every bias")


class ZerosInit(Section):
    """All weights zero."""

    name: Literal["zeros"]
    bias: Finite = Field(description="value of every bias")


class DefaultInit(Section):
    """Left as torch made it."""

    name: Literal["default"]


Init = Annotated[
    ScaledInit | GainInit | NormalInit | ZerosInit | DefaultInit, Field(discriminator="name")
]


class PlainLoss(Built):
    """A loss without settings."""


class LabelSmoothing(Built):
    """Cross-entropy against softened targets."""

    label_smoothing: DropoutRate = Field(
        description="probability mass that goes to all classes alike"
    )


class Focal(Built):
    """Arguments of `pipeline.losses.FocalLoss`."""

    gamma: NonNegative = Field(description="how little easy images weigh; 0 is cross-entropy")


class Penalty(Section):
    """Weights of the L1 and L2 terms of the loss."""

    l1: NonNegative = Field(description="factor of the sum of |w| in the loss")
    l2: NonNegative = Field(description="factor of the sum of w² in the loss")


# --- optimizer and schedule ---


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


# --- trainer, tracking, evaluation ---


class Trainer(Section):
    """How long, on what, how exactly."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = Field(
        description="device; auto takes the best there is"
    )
    devices: Count | Literal["auto"] = Field(description="how many devices")
    strategy: Literal["auto", "ddp"] = Field(description="how several devices work together")
    precision: Literal["auto", "32", "bf16", "16"] = Field(
        description="bits of the arithmetic; auto takes what pays"
    )
    channels_last: bool | Literal["auto"] = Field(description="memory layout of images")
    max_epochs: Count = Field(description="passes over the training part")
    gradient_clip_norm: Positive | None = Field(
        description="norm at which the gradient is clipped; null for never"
    )
    early_stopping_patience: Count | None = Field(
        description="epochs without a lower val/loss before the end; null for never"
    )
    keep: Literal["last", "best"] = Field(
        description="weights of the last epoch, or of the lowest val/loss"
    )
    sample_size: Count = Field(description="training images on which train/loss is measured")
    overfit_batches: CountOrZero = Field(description="train on this many batches only; 0 for all")
    deterministic: bool = Field(
        description="refuse operations whose result differs from run to run"
    )
    num_threads: Count | None = Field(
        description="threads of the processor; null for torch's choice"
    )
    # Runs of earlier versions have none.
    extra: dict[str, Any] | None = Field(
        None, description="further arguments of Lightning's Trainer"
    )

    @model_validator(mode="before")
    @classmethod
    def _precision_as_text(cls, values: Any) -> Any:
        # trainer.precision=32 arrives as a number from the command line; it means the same.
        if isinstance(values, dict) and values.get("precision") in (16, 32):
            return {**values, "precision": str(values["precision"])}
        return values


class Tracking(Section):
    """Where the record of runs is kept."""

    enabled: bool = Field(description="record the run in MLflow")
    uri: Annotated[str, AfterValidator(reveal)] = Field(
        description="MLflow's store; MLFLOW_TRACKING_URI wins over it", repr=False
    )
    experiment: Name = Field(description="MLflow's experiment")
    tensorboard: bool = Field(description="also write event files for TensorBoard")
    model: bool | Literal["auto"] = Field(
        description="log the network; auto does so outside of sweeps"
    )


class SignalsSettings(Section):
    """What is measured of the network after each epoch, see docs/signals.md."""

    enabled: bool = Field(description="measure the network after each epoch")
    sample_size: Annotated[int, Field(ge=10)] = Field(
        description="images of each part that are measured"
    )
    seed: CountOrZero = Field(description="seed of the choice of those images")
    live: bool = Field(description="say during the training when a fault has become certain")


class EvaluationSettings(Section):
    """What a trained model is measured on beside the test set."""

    other_sets: Literal["auto"] | list[Name] = Field(description="other test sets")
    corruptions: list[Literal["shift", "rotation", "noise", "blur", "contrast"]] = Field(
        description="kinds of corruption"
    )
    severities: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        description="strengths of corruption"
    )
    corruption_size: Count = Field(description="test images that each corruption is measured on")
    num_resamples: Annotated[int, Field(ge=100)] = Field(
        description="bootstrap resamples of an interval"
    )
    num_mistakes: Annotated[int, Field(ge=1, le=100)] = Field(description="mistakes in the picture")


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


# Objects that are built from their ``_target_``, by name or as a list.
Attached = dict[str, Any] | list[Any] | None


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
    data: Idx | ImageFolder | OwnData
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
