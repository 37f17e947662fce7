"""What the machine is good at: which precision pays, and which device there is."""

from __future__ import annotations

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
