"""The learning rate over the steps: a pure factor first, then torch's schedulers around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler, ReduceLROnPlateau

from pipeline.errors import ConfigError

Factor = Callable[[int], float]
"""From the number of optimizer steps taken to the factor on the learning rate of the next one."""


@dataclass(frozen=True)
class Schedule:
    """A scheduler and when to step it.

    interval: ``step`` after every optimizer step, ``epoch`` after every epoch.
    monitor: the metric that ``scheduler.step`` takes, or None.
    warmup: a second scheduler, stepped after every optimizer step, where the first goes by epochs.
    """

    scheduler: LRScheduler
    interval: Literal["step", "epoch"]
    monitor: Literal["val/loss"] | None
    warmup: LRScheduler | None = None


def build_schedule(
    optimizer: Optimizer,
    *,
    name: Literal["constant", "cosine", "onecycle", "step", "plateau"],
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float,
    **options: Any,
) -> Schedule:
    """Attach a schedule to an optimizer, whose learning rate is the peak.

    total_steps: optimizer steps of the whole training, ≥ 1.  warmup_epochs: ≥ 0, may be a fraction.
    options of ``cosine``, ``onecycle``, ``step``: see `schedule_factor`.  Of ``plateau``: ``decay``
    (0 < decay < 1) multiplies the learning rate once ``val/loss`` has not improved for more than
    ``patience`` epochs; epochs within the warm-up do not count.

    Raises `ConfigError` where the warm-up leaves no step, or the schedule has its own warm-up.
    """
    if name != "plateau":
        factor = schedule_factor(
            name=name,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            warmup_epochs=warmup_epochs,
            **options,
        )
        return Schedule(scheduler=LambdaLR(optimizer, factor), interval="step", monitor=None)
    warmup_steps = _warmup_steps(
        total_steps=total_steps, steps_per_epoch=steps_per_epoch, warmup_epochs=warmup_epochs
    )
    return _plateau(
        optimizer, warmup_steps=warmup_steps, steps_per_epoch=steps_per_epoch, **options
    )


def schedule_factor(
    *,
    name: Literal["constant", "cosine", "onecycle", "step"],
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float,
    **options: Any,
) -> Factor:
    """Compose the factor of a schedule: a linear warm-up, then the shape over the other steps.

    Over W warm-up steps the factor is ``(step + 1) / (W + 1)``.  Shapes and their options:

    * ``constant``: 1
    * ``cosine``: see ``cosine`` (``final_factor``)
    * ``onecycle``: see `one_cycle` (``warmup_fraction``, ``initial_factor``, ``final_factor``); it
      has its own rise, so ``warmup_epochs`` must be 0
    * ``step``: × ``decay`` after every ``every_epochs`` epochs

    Raises `ConfigError` as `build_schedule` does.
    """
    warmup_steps = _warmup_steps(
        total_steps=total_steps, steps_per_epoch=steps_per_epoch, warmup_epochs=warmup_epochs
    )
    remaining = total_steps - warmup_steps
    match name:
        case "constant":
            shape: Factor = constant
        case "cosine":
            shape = partial(cosine, num_steps=remaining, **options)
        case "step":
            shape = partial(steps_down, steps_per_epoch=steps_per_epoch, **options)
        case "onecycle":
            if warmup_epochs > 0:
                raise ConfigError(
                    f"schedule.warmup_epochs: {warmup_epochs:g}, but onecycle rises by itself. "
                    "Set schedule.warmup_epochs=0 and its length with schedule.warmup_fraction, "
                    "or choose schedule=cosine."
                )
            shape = partial(one_cycle, num_steps=remaining, **options)

    def factor(step: int) -> float:
        return (
            (step + 1) / (warmup_steps + 1) if step < warmup_steps else shape(step - warmup_steps)
        )

    return factor


def constant(step: int) -> float:
    """Return 1."""
    return 1.0


def cosine(step: int, *, num_steps: int, final_factor: float) -> float:
    """Fall from 1 along half a cosine to ``final_factor`` after ``num_steps`` steps; stay there.

    Loshchilov and Hutter (2017), SGDR, equation 5.  The last step is still above ``final_factor``.
    """
    return _between(1.0, final_factor, share=step / num_steps)


def one_cycle(
    step: int, *, num_steps: int, warmup_fraction: float, initial_factor: float, final_factor: float
) -> float:
    """Rise from ``initial_factor`` to 1 in ``warmup_fraction`` of the steps, then fall.

    Both along half a cosine; the last step, ``num_steps - 1``, is at ``final_factor``.  The same as
    torch's ``OneCycleLR`` with ``div_factor = 1 / initial_factor`` and
    ``final_div_factor = initial_factor / final_factor``.  Smith (2018), A Disciplined Approach to
    Neural Network Hyper-Parameters.
    """
    peak = max(warmup_fraction * num_steps - 1, 0.0)
    if step < peak:
        return _between(initial_factor, 1.0, share=step / peak)
    return _between(1.0, final_factor, share=(step - peak) / max(num_steps - 1 - peak, 1e-9))


def steps_down(step: int, *, steps_per_epoch: int, every_epochs: int, decay: float) -> float:
    """Multiply by ``decay`` after every ``every_epochs`` epochs."""
    num_decays: int = step // (every_epochs * steps_per_epoch)
    return decay**num_decays


def _between(start: float, end: float, *, share: float) -> float:
    """Return a value from ``start`` (share 0) to ``end`` (share ≥ 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _warmup_steps(*, total_steps: int, steps_per_epoch: int, warmup_epochs: float) -> int:
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        raise ConfigError(
            f"schedule.warmup_epochs: {warmup_epochs:g} epochs of {steps_per_epoch} steps leave "
            f"nothing of a training of {total_steps} steps. Set schedule.warmup_epochs below "
            f"{total_steps / steps_per_epoch:g}, or train longer (trainer.max_epochs)."
        )
    return warmup_steps


def _plateau(
    optimizer: Optimizer, *, warmup_steps: int, steps_per_epoch: int, decay: float, patience: int
) -> Schedule:
    """Combine two schedulers that multiply the current learning rate: neither undoes the other."""
    warmup = None
    if warmup_steps > 0:
        warmup = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    plateau = ReduceLROnPlateau(optimizer, factor=decay, patience=patience)
    plateau.cooldown_counter = math.ceil(warmup_steps / steps_per_epoch)
    return Schedule(scheduler=plateau, interval="epoch", monitor="val/loss", warmup=warmup)
