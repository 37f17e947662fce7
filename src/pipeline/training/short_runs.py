"""Short runs of an untrained network at given learning rates, as a training would begin."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from torch import nn

from pipeline.config import schema
from pipeline.config.schema import Settings
from pipeline.data.batches import epoch_seed
from pipeline.data.prepare import take
from pipeline.errors import TrainingError
from pipeline.records import Prepared
from pipeline.training.assembly import images_of
from pipeline.training.fit import fit
from pipeline.training.fork_settings import WATCHED_IMAGES, short_run

MEASURED_IMAGES = 1000  # of the training part, on which the loss is measured
NO_STEP = 1e-30  # a rate that leaves all weights as they are
# Attached by a person; a short run writes no file, and is measured with its own weights.
_LEFT_OUT = ("callbacks", "metrics", "logger")
_OF_LENGTH = ("max_steps", "min_steps", "max_time", "min_epochs", "profiler")


def short_runs(
    network: nn.Module, prepared: Prepared, settings: Settings, *, steps: int
) -> Callable[[float], float]:
    """Return a function: a constant rate → the training loss after so many steps.

    Every run begins with the network's weights and sees the same images in the same order. Loss,
    penalties, augmentation, dropout and clipping are those of the training. The loss is measured in
    evaluation mode. A run that diverges gives infinity. The test part is not read.
    """
    part = images_of(prepared, settings, channels_last=False).training_part()
    batch = len(part) if settings.data.batch_size == "all" else settings.data.batch_size
    order = np.random.default_rng(epoch_seed(settings.seed, 0)).permutation(len(part))
    shown = take(part, np.sort(order[: steps * batch]))
    steps_an_epoch = -(-len(shown) // batch)
    unread = take(prepared.val, np.arange(0))
    watched = take(prepared.val, np.arange(min(WATCHED_IMAGES, len(prepared.val))))
    data = Prepared(train=shown, val=watched, test=unread, card=prepared.card)
    epochs = max(1, round(steps / steps_an_epoch))

    def run(rate: float) -> float:
        copied = copy.deepcopy(network)
        changed = _settings(settings, rate=rate, epochs=epochs)
        try:
            result = fit(copied, data, settings=changed, show_progress=False)
        except TrainingError:
            return float("inf")
        return float(result.history[-1].metrics["train/loss"])

    return run


def _settings(settings: Settings, *, rate: float, epochs: int) -> Settings:
    short = short_run(
        settings,
        rate=rate,
        schedule=schema.Constant(name="constant", warmup_epochs=0.0),
        epochs=epochs,
        seed=settings.seed,
        batch_size=settings.data.batch_size,
    )
    extra = {k: v for k, v in (settings.trainer.extra or {}).items() if k not in _OF_LENGTH}
    trainer = {"sample_size": MEASURED_IMAGES, "extra": extra or None}
    return short.model_copy(
        update={
            "trainer": short.trainer.model_copy(update=trainer),
            **dict.fromkeys(_LEFT_OUT),
        }
    )
