"""The device that trains, and the precision that is fastest on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch
from torch import nn

from pipeline.config.schema import Settings, Trainer
from pipeline.errors import ConfigError
from pipeline.models.layout import bears_channels_last, convolves
from pipeline.records import DataCard

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
# Weights times images of a step. From here on, bfloat16 took 0.3 to 0.8 of float32's time, with one
# thread and with two (AMD EPYC with AVX-512 BF16; MLP of 64 to 1024 units, RNN, LSTM, GRU of 32 to
# 256, batches of 16 to 256). Recurrent weights are used once for each line of an image.
LEAST_WORK = {nn.Linear: 16e6, nn.RNNBase: 4e6}


def sums_in(device: torch.device) -> torch.dtype:
    """Return the type in which sums are kept: float64, but on Apple's MPS, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def resolve_accelerator(wanted: str) -> str:
    """Return cpu, cuda or mps for ``auto`` and ``gpu``; any other word stands for itself."""
    if wanted not in ("auto", "gpu"):
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if wanted == "gpu" else "cpu"


def check_device(trainer: Trainer) -> None:
    """Raise `ConfigError` for an accelerator that is missing here, or for too few devices."""
    wanted = trainer.accelerator
    have = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    kind = resolve_accelerator(wanted)
    if kind not in have:
        return
    if have[kind] == 0:
        raise ConfigError(
            f"trainer.accelerator={wanted}: torch finds no such device on this machine. "
            "Use trainer=auto, which takes the best device there is."
        )
    if isinstance(trainer.devices, int) and trainer.devices > have[kind]:
        raise ConfigError(
            f"trainer.devices={trainer.devices}: this machine has {have[kind]} of kind {kind}. "
            f"Use trainer.devices={have[kind]}"
        )


@dataclass(frozen=True)
class Hardware:
    """The device of a training and the way it computes there.

    accelerator: cpu, cuda, mps, or another one of Lightning's.  precision: ``32``, ``bf16`` or
    ``16``.  channels_last: whether images and weights of convolutions are stored in that order.
    """

    accelerator: str
    precision: str
    channels_last: bool


def choose_hardware(network: nn.Module, settings: Settings, *, card: DataCard) -> Hardware:
    """Return the hardware of a training, with every "auto" decided. card: of its data.

    bfloat16 saves time on graphics cards that support it, and on processors with AMX or AVX-512
    BF16. In small dense and recurrent layers its conversions cost more time.
    """
    accelerator = resolve_accelerator(settings.trainer.accelerator)
    convolutional = convolves(network)
    precision, last = settings.trainer.precision, settings.trainer.channels_last
    if precision == "auto":
        large = convolutional or _works_much(network, _step_size(settings, card))
        precision = "bf16" if large and _fast_bfloat16(accelerator) else "32"
    if last == "auto":
        sound = accelerator == "cuda" or _sound_channels_last(network, accelerator)
        last = convolutional and sound and bears_channels_last(network, card.image_shape)
    return Hardware(accelerator, precision, bool(last))


def _step_size(settings: Settings, card: DataCard) -> int:
    """How many images a step has."""
    images = int(sum(card.class_counts["train"]) * settings.data.fraction)
    wanted = settings.data.batch_size
    return images if wanted == "all" else min(wanted, images)


def _works_much(network: nn.Module, step_size: int) -> bool:
    """Whether the dense or the recurrent layers have enough to do in a step for bfloat16 to pay.

    Never for a LightningModule: what it predicts may need more than three digits.
    """
    if isinstance(network, lightning.LightningModule):
        return False
    weights = {
        kind: sum(
            each.numel()
            for module in network.modules()
            if isinstance(module, kind)
            for each in module.parameters(recurse=False)
        )
        for kind in LEAST_WORK
    }
    return any(weights[kind] * step_size >= least for kind, least in LEAST_WORK.items())


def _sound_channels_last(network: nn.Module, accelerator: str) -> bool:
    """Whether the gradients of all convolutions can be computed in that order on the processor.

    torch 2.15 writes beyond its memory in those of a 1×1 convolution with a stride, such as that of
    a residual network's shortcut: the process crashes.
    """
    return accelerator == "cpu" and not any(
        isinstance(m, nn.Conv2d) and max(m.kernel_size) == 1 and max(m.stride) > 1
        for m in network.modules()
    )


@contextmanager
def without_search_for_cuda(accelerator: str) -> Iterator[None]:
    """On the processor, hide graphics cards from torch.

    Adam asks in every step whether a card is there. Lightning sets
    ``PYTORCH_NVML_BASED_CUDA_CHECK``, so torch then looks on the disk for NVIDIA's library each
    time. On a machine without a card this takes 0.3 ms of the 5 ms of a step of the textbook CNN.
    """
    name = "CUDA_VISIBLE_DEVICES"
    before = os.environ.get(name)
    if accelerator != "cpu":
        yield
        return
    os.environ[name] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _fast_bfloat16(accelerator: str) -> bool:
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerator == "cpu" and bool({"amx_bf16", "avx512_bf16"} & _processor_flags())


def _processor_flags() -> set[str]:
    """Return the processor's feature flags on Linux, and nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
