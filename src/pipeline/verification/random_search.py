"""The control of random search: settings that no diagnosis chose."""

from __future__ import annotations

import random

from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import Settings, can_drop, far_from_usual, of_table


def random_draws(settings: Settings, *, count: int, seed: int) -> list[Remedy]:
    """Draw random values of the settings that remedies change.

    These are the learning rate, dropout, L2, augmentation and label smoothing. A remedy that gains
    no more than the best draw owes its gain to the number of trials, not to the diagnosis.
    """
    generator = random.Random(seed)
    return [
        Remedy(f"random_{i}", _draw(settings, generator), "drawn at random") for i in range(count)
    ]


def _draw(settings: Settings, generator: random.Random) -> tuple[str, ...]:
    # The remedies start from the same rate.
    start = far_from_usual(settings) or settings["optimizer"]["learning_rate"]
    rate = start * 10 ** generator.uniform(-1, 1)
    drawn = [
        f"optimizer.learning_rate={rate:.3g}",
        f"penalty.l2={10 ** generator.uniform(-6, -3):.3g}",
    ]
    if can_drop(settings["model"]):
        drawn.append(f"model.dropout={generator.uniform(0, 0.6):.2f}")
    if not of_table(settings):
        drawn.append(f"augment={generator.choice(('none', 'affine', 'shift'))}")
    if settings["loss"]["name"] in ("cross_entropy", "label_smoothing"):
        drawn.append(f"loss={generator.choice(('cross_entropy', 'label_smoothing'))}")
    return tuple(drawn)
