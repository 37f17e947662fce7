"""The package torchmetrics, of which Lightning needs two classes, loaded without the rest.

Lightning imports torchmetrics for ``Metric`` and ``MetricCollection``. The package then imports all
its metrics, and with them torchvision, scipy and more. The two classes are the true ones, so
metrics of any code work as always.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pipeline.training.lazy_packages import Recipe

PACKAGE = "torchmetrics"
# Name → the module that holds it.
LIGHT = {"Metric": f"{PACKAGE}.metric", "MetricCollection": f"{PACKAGE}.collections"}
# It and `metric` import each other, and only in this order.
_FIRST = f"{PACKAGE}.utilities"


def _load() -> dict[str, Any]:
    importlib.import_module(_FIRST)
    return {name: getattr(importlib.import_module(place), name) for name, place in LIGHT.items()}


def _attributes() -> Mapping[str, Any]:
    return {"__version__": version(PACKAGE), "_logger": logging.getLogger(PACKAGE)}


RECIPE = Recipe(PACKAGE, light=LIGHT, load=_load, attributes=_attributes)
