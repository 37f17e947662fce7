"""Lightning and other code find in torchmetrics what is there, whenever it is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

BY_US = "import pipeline.training, pytorch_lightning\n"
BY_LIGHTNING = "import pytorch_lightning, pipeline.training\n"
LOADED = """
heavy = {'torchvision', 'scipy', 'torchmetrics.functional'}
print(heavy & set(sys.modules))
"""


def printed(code: str) -> list[str]:
    """The lines that a new process prints."""
    line = [sys.executable, "-W", "ignore", "-c", f"import sys\n{code}"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_lightning_loads_no_metric_and_not_what_metrics_need() -> None:
    assert printed(BY_US + LOADED) == ["set()"]


@pytest.mark.parametrize("start", [BY_US, BY_LIGHTNING], ids=["by_us", "by_lightning"])
def test_code_that_uses_metrics_gets_the_true_ones(start: str) -> None:
    code = (
        "import torch, torchmetrics\n"
        "from torchmetrics.classification import MulticlassAccuracy\n"
        "metric = torchmetrics.Accuracy(task='multiclass', num_classes=3)\n"
        "print(metric(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1])).item())\n"
        "from pytorch_lightning.core.module import Metric, MetricCollection\n"
        "print(isinstance(metric, Metric), type(metric) is MulticlassAccuracy)\n"
        "print(isinstance(torchmetrics.MetricCollection([metric]), MetricCollection))\n"
        "print(torchmetrics.functional.accuracy.__name__)\n"
        "from torchmetrics import *\n"
        "print(MeanMetric is torchmetrics.aggregation.MeanMetric)"
    )
    assert printed(start + code) == ["0.75", "True True", "True", "accuracy", "True"]


def test_a_name_that_the_package_lacks_is_an_error_after_its_code_has_run() -> None:
    code = (
        "import torchmetrics\n"
        "try:\n"
        "    torchmetrics.no_such_metric\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    assert printed(BY_US + code) == ["module 'torchmetrics' has no attribute 'no_such_metric'"]


def test_a_package_that_is_built_in_another_way_is_loaded_as_a_whole() -> None:
    code = (
        "from pipeline.training import lazy_torchmetrics\n"
        "lazy_torchmetrics.LIGHT['MetricCollection'] = 'torchmetrics.of_another_version'\n"
        "import pytorch_lightning, torchmetrics\n"
        "from pytorch_lightning.core.module import Metric, MetricCollection\n"
        "print(Metric is torchmetrics.Metric, MetricCollection is torchmetrics.MetricCollection)\n"
        "print(isinstance(torchmetrics.MeanMetric(), Metric), 'torchvision' in sys.modules)"
    )
    assert printed(code) == ["True True", "True True"]
