"""The numbers of one moment, from tensors: names for a tracker, norms of steps, weight decay."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pipeline.evaluation.signal_file import CONSTANTS
from pipeline.records import EpochRecord, SignalRecord
from pipeline.training.moments import Moment, unstacked


def metrics_of(moment: Moment, metadata: Mapping[str, str]) -> dict[str, float]:
    """Return one moment's numbers by name, ``signals/<quantity>/<layer>``.

    A number that could not be measured (NaN) is left out.
    """
    metrics = _by_layer(moment, metadata)
    for key in ("mean", "max", "clipped_share"):
        metrics[f"signals/training_gradient_norm/{key}"] = float(moment[f"gradient_norm/{key}"])
    metrics["signals/penalty_gradient_share"] = float(moment["penalty_gradient_share"])
    if "time_step/gradient_norm" in moment:
        norms = moment["time_step/gradient_norm"]
        metrics["signals/first_to_last_time_step_gradient"] = float(norms[0] / norms[-1])
    if int(moment["epochs"]) == -1:
        guess = math.log(json.loads(metadata["num_classes"]))
        initial = float(moment["train/loss_per_example"].mean())
        metrics["signals/initial_loss_to_ln_classes"] = initial / guess
    return {key: value for key, value in metrics.items() if not math.isnan(value)}


def table_of(record: SignalRecord) -> str:
    """Return the numbers of all moments as CSV: one line a moment, one column a number.

    The epoch 0 is the moment before the first step.  A number that could not be measured is empty.
    """
    rows = moments_of(record)
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["epoch", *(name.removeprefix("signals/") for name in names)])
    for row in rows:
        lines.writerow([row.epoch + 1, *(row.metrics.get(name, "") for name in names)])
    return text.getvalue()


def moments_of(record: SignalRecord) -> list[EpochRecord]:
    """Return the numbers of each moment, as an observer of signals gets them; epoch -1 first."""
    arrays = {k: torch.from_numpy(v) for k, v in record.arrays.items() if k not in CONSTANTS}
    return [
        EpochRecord(
            epoch=int(moment["epochs"]),
            step=int(moment["steps"]),
            metrics=metrics_of(moment, record.metadata),
        )
        for moment in unstacked(arrays)
    ]


def _by_layer(moment: Moment, metadata: Mapping[str, str]) -> dict[str, float]:
    layers = json.loads(metadata["layers"])
    activations = [activation["name"] for activation in json.loads(metadata["activations"])]
    metrics: dict[str, float] = {}
    for group, names in (("layers", layers), ("units", activations)):
        for key in moment:
            where, _, quantity = key.partition("/")
            if where == group:
                values = zip(names, moment[key].tolist(), strict=True)
                metrics |= {f"signals/{quantity}/{name}": value for name, value in values}
    return metrics


def step_norms(norms: Sequence[Tensor], *, clip: float) -> Moment:
    """Summarise the steps' gradient norms: mean, largest, and the share that was clipped.

    norms: one scalar a step.  clip: the largest norm that is not clipped; infinite without
    clipping, and then the share is NaN.  Without steps all three are NaN.
    """
    if not norms:
        keys = ("mean", "max", "clipped_share")
        return {f"gradient_norm/{key}": torch.tensor(math.nan) for key in keys}
    every = torch.stack(list(norms)).float().cpu()
    clipped = (every > clip).float().mean() if math.isfinite(clip) else torch.tensor(math.nan)
    return {
        "gradient_norm/mean": every.mean(),
        "gradient_norm/max": every.max(),
        "gradient_norm/clipped_share": clipped,
    }


def coupled_decay(
    optimizers: Sequence[torch.optim.Optimizer],
) -> Callable[[nn.Parameter], float]:
    """Return a function from a weight to the decay that its optimizer adds to its gradient.

    Decoupled decay, as AdamW's, is not part of the gradient: it counts as 0.
    """
    decays: dict[int, float] = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            decoupled = group.get("decoupled_weight_decay")
            decay = 0.0 if decoupled else float(group.get("weight_decay", 0.0))
            decays |= {id(parameter): decay for parameter in group["params"]}
    return lambda weight: decays.get(id(weight), 0.0)
