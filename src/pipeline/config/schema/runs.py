"""How a run goes: trainer, record, signals, evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.schema.base import Count, CountOrZero, Name, Positive, Section
from pipeline.passwords import reveal


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
        description="threads of the processor; null chooses, where no bit depends on it"
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
    # Runs of earlier versions have none.
    system_metrics: bool = Field(
        False, description="record processor, memory, disk, network and GPU every ten seconds"
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
    # Runs of earlier versions have none.
    tta: list[Literal["flip", "shift", "rotation"]] | None = Field(
        None, description="views whose mean answer is measured too (test-time augmentation)"
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
