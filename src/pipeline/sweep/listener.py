"""A record of a study elsewhere, such as in MLflow; ``hydra.sweeper.listener`` names its class."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import optuna
from omegaconf import OmegaConf

from pipeline.sweep.trial import RunningTrial


class Listener(Protocol):
    """The sweeper calls the class with the composed values and ``root=``, the project's root."""

    def opened(self, study: optuna.Study, *, n_trials: int) -> Mapping[str, Any]:
        """The study begins or goes on; the returned values become its user attributes."""

    def closed(
        self, study: optuna.Study, *, status: str, counts: Mapping[str, int], folder: Path
    ) -> None:
        """This process stops working on the study. status: FINISHED, FAILED or KILLED."""

    def trial_opened(self, trial: RunningTrial) -> str | None:
        """A trial with several seeds begins or goes on; return the key of its record, if any."""

    def trial_closed(self, *, status: str | None, numbers: Mapping[str, float]) -> None:
        """This process stops working on the trial; its record may go on where status is None.

        status: as of a study.  numbers: over the seeds that ended.
        """


def listener_of(name: str | None, config: Any) -> Listener | None:
    """Return the listener of this dotted name; None without one. config: of the sweep."""
    if not name:
        return None
    module, _, kind = name.rpartition(".")
    values = OmegaConf.to_container(config, resolve=False)
    assert isinstance(values, dict)
    root = Path(values.pop("hydra")["runtime"]["cwd"])
    own = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    listener: Listener = getattr(import_module(module), kind)(own, root=root)
    return listener
