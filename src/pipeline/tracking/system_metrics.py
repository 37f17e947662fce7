"""What the machine does during a run: MLflow's own system metrics, through the run's journal.

MLflow's UI shows them under "System metrics". Its own thread writes them to the store directly, and
gives up where that fails.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import TrackingError
from pipeline.tracking.connection import load_mlflow
from pipeline.tracking.run import Run

EVERY_S = 10.0  # as MLflow samples


@contextmanager
def system_metrics(run: Run, *, every_s: float = EVERY_S) -> Iterator[None]:
    """Sample processor, memory, disk, network and NVIDIA's devices while the block runs.

    The last sample is taken at the end, so that a short run has one too.
    Raises `TrackingError` where psutil is not installed.
    """
    monitors, ended = _monitors(), threading.Event()

    def sample() -> None:
        step = 0
        _sampled(monitors)  # the first share of the processor is of no time at all
        while True:
            last = ended.wait(every_s)
            run.log_metrics(_sampled(monitors), step=step)
            step += 1
            if last:
                return

    thread = threading.Thread(target=sample, daemon=True, name="system metrics")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _monitors() -> list[Any]:
    load_mlflow()
    try:
        from mlflow.system_metrics.metrics import cpu_monitor, disk_monitor, network_monitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    except ImportError as error:
        raise TrackingError(
            f"tracking.system_metrics=true: {error.name} is not installed. "
            f"Install it: pip install {error.name}"
        ) from error
    monitors = [
        cpu_monitor.CPUMonitor(),
        disk_monitor.DiskMonitor(),
        network_monitor.NetworkMonitor(),
    ]
    try:
        monitors.append(GPUMonitor())
    except Exception:  # no NVIDIA device, driver or package; each has an error of its own
        return monitors
    return monitors


def _sampled(monitors: list[Any]) -> dict[str, float]:
    sample: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        sample |= {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
        monitor.clear_metrics()
    return sample
