"""Callbacks, metrics and loggers that a person attaches to a training, built from their nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor

from pipeline.config.guard import build
from pipeline.config.lightning import nodes_of
from pipeline.config.schema import Settings
from pipeline.errors import ConfigError

LIGHTNINGS = ("pytorch_lightning.callbacks", "pytorch_lightning.loggers", "torchmetrics")


@dataclass(frozen=True)
class Attachments:
    """What a person attaches. metrics: by the name under which each is recorded."""

    callbacks: Sequence[lightning.Callback] = ()
    metrics: Mapping[str, Any] = ()  # type: ignore[assignment]
    loggers: Sequence[Logger] = ()


def attachments_of(settings: Settings, *, num_classes: int, folder: Path) -> Attachments:
    """Build what the settings attach.

    folder: where loggers write, one folder a run.
    Raises `ConfigError` for a class of another kind, unknown arguments, or a missing package.
    """

    def built(section: str, kind: type, **offered: Any) -> dict[str, Any]:
        nodes = nodes_of(section, getattr(settings, section))
        return {key: _built(key, node, kind, settings, offered) for key, node in nodes.items()}

    metrics = built("metrics", _metric(), num_classes=num_classes) if settings.metrics else {}
    where = {"save_dir": str(folder.parent), "name": folder.name}
    return Attachments(
        callbacks=list(built("callbacks", lightning.Callback).values()),
        metrics={key.partition(".")[2]: metric for key, metric in metrics.items()},
        loggers=list(built("logger", Logger, **where).values()) if settings.logger else [],
    )


def _built(
    key: str, node: Mapping[str, Any], kind: type, settings: Settings, offered: Mapping[str, Any]
) -> Any:
    arguments = {name: value for name, value in node.items() if name != "_target_"}
    allow = (*LIGHTNINGS, *settings.allow_targets)
    return build(str(node["_target_"]), arguments, kind=kind, allow=allow, offered=offered, key=key)


def _metric() -> type:
    from torchmetrics import Metric

    return Metric


class ValidationMetrics:
    """Metrics of torchmetrics over the validation part, read once an epoch.

    Each gets ``update(logits [B, K], labels [B])``.
    """

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self._metrics = dict(metrics)

    def __bool__(self) -> bool:
        return bool(self._metrics)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add one batch."""
        for metric in self._metrics.values():
            metric.to(logits.device).update(logits, labels)

    def compute(self) -> dict[str, float]:
        """Return ``val/<name>`` of each, and begin anew.

        Raises `ConfigError` where a metric is no single number.
        """
        found = {}
        for name, metric in self._metrics.items():
            value = metric.compute()
            metric.reset()
            if not isinstance(value, Tensor | float | int) or torch.as_tensor(value).numel() != 1:
                shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(
                    f"metrics.{name}: compute() gives {shape}, and must give one number. "
                    f"Average it over the classes, as with metrics.{name}.average=macro"
                )
            found[f"val/{name}"] = float(value)
        return found
