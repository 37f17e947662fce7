"""What the machine is good at: which precision pays, and which device there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pipeline.config.schema import Trainer

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def resolve_accelerator(wanted: str) -> str:
    """Return cpu, cuda or mps (or what was asked for beyond these)."""
    if wanted == "gpu":
        return "mps" if torch.backends.mps.is_available() and not torch.cuda.is_available() else "cuda"
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_precision(trainer: Trainer, *, accelerator: str, convolutional: bool) -> tuple[str, bool]:
    """Return (precision, channels_last) with every "auto" decided.

    bfloat16 pays on graphics cards that have it, and on processors with AMX or AVX-512 BF16 for
    convolutions; small dense and recurrent layers spend more on the conversions than they gain.
    """
    precision = trainer.precision
    if precision == "auto":
        precision = "bf16" if convolutional and _fast_bfloat16(accelerator) else "32"
    last = trainer.channels_last
    if last == "auto":
        last = convolutional and accelerator in ("cpu", "cuda")
    return precision, bool(last)


@contextmanager
def without_search_for_cuda(accelerator: str) -> Iterator[None]:
    """On the processor, hide graphics cards from torch.

    Adam asks in every step whether one is there, and where Lightning is imported (it sets
    ``PYTORCH_NVML_BASED_CUDA_CHECK``) torch then looks on the disk for NVIDIA's library each time: 0.3 ms
    of the textbook CNN's 5 ms a step, on a machine that has none.
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
    """The processor's feature flags, where the system tells them (Linux)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
