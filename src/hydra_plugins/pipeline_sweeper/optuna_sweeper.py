"""The facade that Hydra finds. Every Hydra application runs it, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """``hydra/sweeper=optuna``; its settings are those of `config.OptunaSweeperConf`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; return the counts of its trials by outcome."""
        from pipeline.sweep.sweeper import Sweep

        return Sweep(
            self.options,
            arguments,
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.config,
        ).run()
