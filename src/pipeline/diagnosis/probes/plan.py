"""How many short runs a probe has, how long they are, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.diagnosis.probes.outcome import FACTORS

REPEATS = 2  # of each fork
NUM_BATCHES, BATCH_SIZE, BATCH_STEPS = 3, 64, 300  # of the images that are learned by heart
# The most images that one fork trains on, over all its epochs.
MOST_IMAGES = 40_000
# The length of a fork as a share of the run.
SHARE_OF_RUN = 0.25


@dataclass(frozen=True)
class ProbePlan:
    """The length of the forks, known before they run.

    epochs: of a fork, over ``num_images`` of the training part.  num_runs: short runs in all.
    shown_images: in all runs.  seconds: estimate for all runs, at the speed of the run itself; NaN
    where that speed is not known.
    """

    epochs: int
    num_images: int
    num_runs: int
    shown_images: int
    seconds: float

    @property
    def time(self) -> str:
        """``, about 28 s``; empty where it is not known."""
        return f", about {self.seconds:.0f} s" if math.isfinite(self.seconds) else ""


def plan(
    *, num_train: int, epochs_done: int, images_per_s: float, epochs: int | None, widened: bool
) -> ProbePlan:
    """Choose the length of a fork: a quarter of the run, between one epoch and `MOST_IMAGES`.

    epochs: the length that a person chose instead; then every image is used.
    widened: whether there are forks of a wider network.
    """
    num_images = num_train if epochs else min(num_train, MOST_IMAGES)
    if epochs is None:
        epochs = max(1, min(round(SHARE_OF_RUN * epochs_done), MOST_IMAGES // num_images))

    num_forks = REPEATS * (len(FACTORS) + 1)  # each rate, and new weights
    num_wide = REPEATS if widened else 0
    one_batch = 2 * NUM_BATCHES * BATCH_STEPS * BATCH_SIZE  # with Adam, too
    narrow_images = num_forks * epochs * num_images + one_batch
    wide_images = num_wide * epochs * num_images
    # Twice the units are four times the work in the layers between.
    work = narrow_images + 4 * wide_images
    return ProbePlan(
        epochs=epochs,
        num_images=num_images,
        num_runs=num_forks + num_wide + 2 * NUM_BATCHES,
        shown_images=narrow_images + wide_images,
        seconds=work / images_per_s,
    )
