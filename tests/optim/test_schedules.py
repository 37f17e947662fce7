"""Schedules against closed forms and against torch's own schedulers."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, StepLR

from pipeline.errors import ConfigError
from pipeline.optim import Schedule, build_schedule, schedule_factor

PEAK = 0.5


def optimizer() -> Optimizer:
    return SGD(nn.Linear(2, 1).parameters(), lr=PEAK)


def rates(scheduler: LRScheduler, *, num_steps: int) -> list[float]:
    """Learning rates that the optimizer steps are taken with."""
    seen = []
    for _ in range(num_steps):
        seen.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def build(
    name: Any, *, total_steps: int = 40, warmup_epochs: float = 0.0, **options: Any
) -> Schedule:
    return build_schedule(
        optimizer(),
        name=name,
        total_steps=total_steps,
        steps_per_epoch=10,
        warmup_epochs=warmup_epochs,
        **options,
    )


ONE_CYCLE = {"warmup_fraction": 0.3, "initial_factor": 0.04, "final_factor": 1e-4}

TWINS = {
    "cosine": (
        "cosine",
        {"final_factor": 0.01},
        lambda o: CosineAnnealingLR(o, T_max=40, eta_min=0.01 * PEAK),
    ),
    "cosine-to-zero": ("cosine", {"final_factor": 0.0}, lambda o: CosineAnnealingLR(o, T_max=40)),
    "onecycle": (
        "onecycle",
        ONE_CYCLE,
        lambda o: OneCycleLR(
            o, PEAK, total_steps=40, pct_start=0.3, div_factor=25, final_div_factor=400
        ),
    ),
    "onecycle-long-rise": (
        "onecycle",
        ONE_CYCLE | {"warmup_fraction": 0.77},
        lambda o: OneCycleLR(
            o, PEAK, total_steps=40, pct_start=0.77, div_factor=25, final_div_factor=400
        ),
    ),
    "step": (
        "step",
        {"every_epochs": 2, "decay": 0.3},
        lambda o: StepLR(o, step_size=20, gamma=0.3),
    ),
    "constant": ("constant", {}, lambda o: LinearLR(o, start_factor=1.0)),
}


@pytest.mark.parametrize(("name", "options", "twin"), TWINS.values(), ids=TWINS)
def test_agrees_with_torch(name: str, options: dict[str, float], twin: Any) -> None:
    ours = build(name, **options)
    assert (ours.interval, ours.monitor, ours.warmup) == ("step", None, None)
    expected = rates(twin(optimizer()), num_steps=40)
    # 1e-9: torch multiplies step by step, we compute in one go
    assert rates(ours.scheduler, num_steps=40) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_warmup_agrees_with_torch_and_reaches_the_peak() -> None:
    ours = rates(build("constant", warmup_epochs=1.5).scheduler, num_steps=40)
    twin = LinearLR(optimizer(), start_factor=1 / 16, total_iters=15)
    assert ours == pytest.approx(rates(twin, num_steps=40), rel=1e-9)
    assert ours[0] == PEAK / 16 and ours[14] < PEAK and ours[15:] == [PEAK] * 25


@pytest.mark.parametrize(
    ("name", "options", "step", "expected"),
    [
        ("cosine", {"final_factor": 0.2}, 4, 5 / 11),
        ("cosine", {"final_factor": 0.2}, 10, 1.0),
        ("cosine", {"final_factor": 0.2}, 25, 0.6),
        ("cosine", {"final_factor": 0.2}, 40, 0.2),
        ("cosine", {"final_factor": 0.2}, 99, 0.2),
        ("step", {"every_epochs": 1, "decay": 0.5}, 0, 1 / 11),
        ("step", {"every_epochs": 1, "decay": 0.5}, 19, 1.0),
        ("step", {"every_epochs": 1, "decay": 0.5}, 20, 0.5),
        ("step", {"every_epochs": 1, "decay": 0.5}, 39, 0.25),
    ],
)
def test_shape_begins_after_the_warmup(name: Any, options: Any, step: int, expected: float) -> None:
    factor = schedule_factor(
        name=name, total_steps=40, steps_per_epoch=10, warmup_epochs=1.0, **options
    )
    assert factor(step) == pytest.approx(expected)


def test_one_cycle_turns_where_it_should() -> None:
    factor = schedule_factor(
        name="onecycle", total_steps=100, steps_per_epoch=10, warmup_epochs=0.0, **ONE_CYCLE
    )
    factors = [factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(0.04) and factors[99] == pytest.approx(1e-4)
    assert factors.index(max(factors)) == 29 and factors[29] == pytest.approx(1.0)
    assert factors[:30] == sorted(factors[:30]) and factors[29:] == sorted(
        factors[29:], reverse=True
    )


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.3, 1.0])
def test_one_cycle_of_a_very_short_training(total_steps: int, warmup_fraction: float) -> None:
    options = ONE_CYCLE | {"warmup_fraction": warmup_fraction}
    factor = schedule_factor(
        name="onecycle", total_steps=total_steps, steps_per_epoch=1, warmup_epochs=0.0, **options
    )
    assert all(1e-5 < factor(step) <= 1 for step in range(total_steps + 2))


# ---------------------------------------------------------------- plateau


def train(schedule: Schedule, losses: list[float]) -> list[list[float]]:
    """Ten steps an epoch, as a training loop would; the learning rates of each epoch."""
    seen = []
    inner = schedule.scheduler.optimizer
    for loss in losses:
        epoch = []
        for _ in range(10):
            epoch.append(inner.param_groups[0]["lr"])
            inner.step()
            if schedule.warmup is not None:
                schedule.warmup.step()
        schedule.scheduler.step(loss)  # type: ignore[arg-type]
        seen.append(epoch)
    return seen


def test_plateau_goes_by_the_validation_loss() -> None:
    schedule = build("plateau", decay=0.1, patience=1)
    assert (schedule.interval, schedule.monitor, schedule.warmup) == ("epoch", "val/loss", None)
    seen = train(schedule, [1.0, 0.9, 0.9, 0.9, 0.9, 0.5])
    assert [epoch[0] for epoch in seen] == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.05, 0.05])


def test_plateau_after_a_warmup_keeps_its_reductions() -> None:
    schedule = build("plateau", total_steps=90, warmup_epochs=1.5, decay=0.1, patience=0)
    # the loss rises within the warm-up (no reduction), then stands still (a reduction an epoch)
    seen = train(schedule, [1.0, 2.0, 0.5, 0.5, 0.5])
    warmup = [PEAK * (step + 1) / 16 for step in range(15)]
    assert seen[0] + seen[1] == pytest.approx(warmup + [PEAK] * 5)
    assert seen[2] == seen[3] == pytest.approx([PEAK] * 10)
    assert seen[4] == pytest.approx([PEAK / 10] * 10)


# ---------------------------------------------------------------- resuming, refusals


@pytest.mark.parametrize(
    ("name", "options"),
    [("cosine", {"final_factor": 0.1, "warmup_epochs": 0.5}), ("onecycle", ONE_CYCLE)],
    ids=["cosine", "onecycle"],
)
def test_resumes_where_it_stopped(name: str, options: dict[str, float]) -> None:
    whole = rates(build(name, **options).scheduler, num_steps=40)
    first, second = build(name, **options).scheduler, build(name, **options).scheduler
    before = rates(first, num_steps=13)
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    assert before + rates(second, num_steps=27) == whole


@pytest.mark.parametrize("name", ["constant", "cosine", "step", "plateau"])
def test_a_warmup_that_leaves_no_step_is_refused(name: Any) -> None:
    options: dict[str, dict[str, Any]] = {
        "cosine": {"final_factor": 0.0},
        "step": {"every_epochs": 1, "decay": 0.5},
        "plateau": {"decay": 0.5, "patience": 1},
    }
    with pytest.raises(
        ConfigError, match=r"schedule\.warmup_epochs: 4 .*40 steps.*below 4.*max_epochs"
    ):
        build(name, warmup_epochs=4.0, **options.get(name, {}))


def test_onecycle_with_another_warmup_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"schedule\.warmup_epochs: 1, .*schedule\.warmup_fraction"
    ):
        build("onecycle", warmup_epochs=1.0, **ONE_CYCLE)


def test_the_factor_meets_every_parameter_group() -> None:
    network = nn.Linear(2, 1)
    grouped = SGD([{"params": [network.weight]}, {"params": [network.bias]}], lr=PEAK)
    build_schedule(grouped, name="constant", total_steps=20, steps_per_epoch=10, warmup_epochs=0.9)
    assert [group["lr"] for group in grouped.param_groups] == pytest.approx([PEAK / 10] * 2)


def test_a_longer_training_is_not_held_to_the_shape_it_was_saved_with() -> None:
    # torch restores the attributes of a factor that is an object, and with them the old total
    short, longer = (
        build("cosine", final_factor=0.1),
        build("cosine", total_steps=80, final_factor=0.1),
    )
    twin = build("cosine", total_steps=80, final_factor=0.1)
    rates(short.scheduler, num_steps=13)
    longer.scheduler.load_state_dict(short.scheduler.state_dict())
    assert rates(longer.scheduler, num_steps=5)[1:] == rates(twin.scheduler, num_steps=18)[14:]
