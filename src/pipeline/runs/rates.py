"""Which learning rates a training can take: short runs before it, which change nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.data.prepared import card_of, prepared_folder
from pipeline.data.store import load_for_training
from pipeline.errors import ConfigError, TrainingError
from pipeline.models.build import trains_itself
from pipeline.optim.rate_range import RateRange, find_rates
from pipeline.runs.network import untrained_network
from pipeline.training.hardware import check_device
from pipeline.training.short_runs import NO_STEP, short_runs

USUAL_RUNS = "10 to 25"


@dataclass(frozen=True)
class TunedRate:
    """A range test and its suggestion. rate: with two digits, as a person would write it."""

    found: RateRange
    steps: int
    rate: float


def tune_rate(
    config: RunConfig,
    *,
    steps: int,
    root: Path,
    report: Callable[[str], None],
    announce: Callable[[str], None],
) -> TunedRate:
    """Try learning rates for an untrained network; nothing is written.

    steps: of the optimizer, in each short run.  report: called with one line for each run.
    announce: called once, with the time of a run.
    Raises `DataError` for missing data, `ConfigError` for a network that chooses its rate itself,
    and `TrainingError` where no rate lowers the loss.
    """
    settings = config.settings
    check_device(settings.trainer)
    card_of(settings.data, root=root)
    data = load_for_training(prepared_folder(settings.data.name, root=root))
    network = untrained_network(settings, data.card, root=root)
    if trains_itself(network):
        raise ConfigError(
            f"model._target_={settings.model.target}: has an optimizer of its own, so "
            "optimizer.learning_rate has no effect on it. Set the rate in its own arguments."
        )
    run = short_runs(network, data, settings, steps=steps)

    def told(rate: float) -> float:
        loss = run(rate)
        ending = f"{loss:.4f}" if math.isfinite(loss) else "diverged"
        report(f"learning rate {rate:.2e}: training loss {before:.4f} -> {ending}")
        return loss

    began = time.monotonic()
    before = run(NO_STEP)
    took_s = time.monotonic() - began
    announce(f"{USUAL_RUNS} runs of {steps} steps, about {max(1, round(took_s))} s each")
    found = find_rates(told, start=settings.optimizer.learning_rate, before=before)
    if found.suggested is None:
        raise TrainingError(
            f"no learning rate from {found.tried[0].rate:.1e} to {found.tried[-1].rate:.1e} lowers "
            f"the training loss within {steps} steps. Try more steps: steps={10 * steps}, or look "
            "at the network: pipeline train debug=overfit_batch"
        )
    return TunedRate(found, steps, float(f"{found.suggested:.1e}"))
