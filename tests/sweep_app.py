"""A small Hydra application for the tests of the sweeper: it takes numbers and returns one.

It writes a line for every start of a trial, so that a test can count what really ran. With
``noise`` the number depends on the seed: by -noise, 0 and noise for the seeds 0, 1, 2.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from pipeline.sweep import current_trial, report


@hydra.main(version_base="1.3", config_path="sweep_conf", config_name="config")
def main(config: DictConfig) -> float | list[float]:
    trial = current_trial()
    number = trial.number if trial else -1
    with Path("starts.txt").open("a") as file:
        file.write(f"{number} {HydraConfig.get().job.num} {os.getpid()} {config.seed}\n")
    if config.fail == "raise" or (config.fail == "odd" and number % 2):
        raise ValueError(f"x={config.x} is not to my taste")
    if config.fail == "lost":
        return math.nan
    if config.fail == "type":
        return "nothing"  # type: ignore[return-value]
    if config.fail == "die":
        os.kill(os.getpid(), 9)
    if trial:
        trial.note("metrics", {"size": float(config.x)})
    value = (config.x - 3.0) ** 2 + {"a": 0.0, "b": 1.0}[config.kind]
    value += config.noise * (config.seed % 3 - 1)
    for step in range(config.steps):
        time.sleep(config.sleep)
        if report(value + 1.0 / (step + 1), step=step):
            break
    with Path("ends.txt").open("a") as file:
        file.write(f"{number} {config.seed}\n")
    return [value, abs(config.x)] if config.two else value


if __name__ == "__main__":
    main()
