"""Parameter groups, and first steps against the update rules by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.errors import ConfigError
from pipeline.optim import build_optimizer


class Parabola(nn.Module):
    """One weight w = 2, one bias b = 1; the gradient of ``w² / 2 + b² / 2`` is the value itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[2.0]]))
        self.bias = nn.Parameter(torch.tensor([1.0]))


def walk(
    target: Any, *, num_steps: int, weight_decay: float = 0.0, **options: Any
) -> tuple[float, float]:
    network = Parabola()
    optimizer = build_optimizer(
        network, target=target, learning_rate=0.1, weight_decay=weight_decay, fused=None, **options
    )
    for _ in range(num_steps):
        for parameter in network.parameters():
            parameter.grad = parameter.detach().clone()
        optimizer.step()
    return network.weight.item(), network.bias.item()


def adam_first_step(value: float) -> float:
    """Both moments without bias are the gradient and its square: one learning rate a step."""
    return value - 0.1 * value / (math.sqrt(value**2) + 1e-8)


FIRST_STEPS = {
    "sgd": (torch.optim.SGD, {}, 0.9 * 2, 0.9 * 1),
    "sgd-decay": (torch.optim.SGD, {"weight_decay": 0.5}, 2 - 0.1 * (2 + 0.5 * 2), 0.9),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, 1.8, 0.9),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, 2 - 0.1 * 1.9 * 2, 1 - 0.19),
    "adam": (torch.optim.Adam, {}, adam_first_step(2.0), adam_first_step(1.0)),
    "adamw": (torch.optim.AdamW, {}, adam_first_step(2.0), adam_first_step(1.0)),
    "adamw-decay": (
        torch.optim.AdamW,
        {"weight_decay": 0.5},
        adam_first_step(2.0) - 0.1 * 0.5 * 2,
        0.9,
    ),
    "adagrad": (torch.optim.Adagrad, {}, 1.9, 0.9),
    "rmsprop": (
        torch.optim.RMSprop,
        {"alpha": 0.99},
        2 - 0.1 / math.sqrt(0.01),
        1 - 0.1 / math.sqrt(0.01),
    ),
}


@pytest.mark.parametrize(
    ("target", "options", "weight", "bias"), FIRST_STEPS.values(), ids=FIRST_STEPS
)
def test_first_step_by_hand(
    target: Any, options: dict[str, Any], weight: float, bias: float
) -> None:
    assert walk(target, num_steps=1, **options) == pytest.approx((weight, bias), rel=1e-6, abs=1e-6)


def test_momentum_remembers() -> None:
    # w: 2 → 1.8; velocity 0.9 · 2 + 1.8 = 3.6; 1.8 - 0.36
    assert walk(torch.optim.SGD, num_steps=2, momentum=0.9)[0] == pytest.approx(1.44, rel=1e-6)


def network_with_norm() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)
    )


def test_only_weight_matrices_decay() -> None:
    network = network_with_norm()
    optimizer = build_optimizer(
        network, target=torch.optim.AdamW, learning_rate=1e-3, weight_decay=0.1, fused=None
    )
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert [p.shape for p in decayed["params"]] == [(2, 1, 3, 3), (3, 8)]
    assert [p.shape for p in others["params"]] == [(2,), (2,), (3,)]
    assert decayed["lr"] == others["lr"] == 1e-3


@pytest.mark.parametrize(
    ("network", "frozen", "decays"),
    [
        (nn.Linear(3, 2, bias=False), [], [0.1]),
        (nn.BatchNorm1d(3), [], [0.0]),
        (nn.Linear(3, 2), ["bias"], [0.1]),
    ],
    ids=["no-bias", "no-matrix", "frozen-bias"],
)
def test_an_empty_group_is_left_out(
    network: nn.Module, frozen: list[str], decays: list[float]
) -> None:
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    optimizer = build_optimizer(
        network, target=torch.optim.SGD, learning_rate=0.1, weight_decay=0.1, fused=None
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == decays


def test_without_decay_there_is_one_group_and_the_same_step() -> None:
    ends = []
    for groups in (1, 2):
        torch.manual_seed(0)
        network = network_with_norm()
        optimizer = build_optimizer(
            network, target=torch.optim.Adam, learning_rate=0.1, weight_decay=0.0, fused=None
        )
        if groups == 2:
            pairs = [list(network[:1].parameters()), list(network[1:].parameters())]
            optimizer = torch.optim.Adam([{"params": p} for p in pairs], lr=0.1, fused=True)
        assert len(optimizer.param_groups) == groups
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(8, 1, 4, 4)).square().mean().backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(*ends)


def test_an_optimizer_without_a_fused_kernel_has_none_to_turn_off() -> None:
    # As half precision asks of every optimizer.
    assert build_optimizer(
        nn.Linear(3, 2),
        target=torch.optim.RMSprop,
        learning_rate=0.1,
        weight_decay=0.0,
        fused=False,
    )


FUSED = [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad]


@pytest.mark.parametrize("target", FUSED)
def test_fused_is_taken_where_it_works_and_changes_nothing(target: Any) -> None:
    ends = []
    for fused in (None, True, False):
        torch.manual_seed(0)
        network = network_with_norm()
        optimizer = build_optimizer(
            network, target=target, learning_rate=0.1, weight_decay=0.1, fused=fused
        )
        assert bool(optimizer.param_groups[0]["fused"]) is (fused is not False)
        images = torch.rand(8, 1, 4, 4)
        for _ in range(3):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
        ends.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(ends[0], ends[1])
    torch.testing.assert_close(ends[0], ends[2], rtol=1e-4, atol=1e-5)  # float32, three steps


@pytest.mark.parametrize(
    ("target", "options", "device"),
    [
        (torch.optim.RMSprop, {}, "cpu"),
        (torch.optim.NAdam, {}, "cpu"),
        (torch.optim.Adam, {"foreach": True}, "cpu"),
        (torch.optim.Adam, {"differentiable": True}, "cpu"),
        (torch.optim.Adam, {}, "meta"),
    ],
    ids=["rmsprop", "nadam", "foreach", "differentiable", "other-device"],
)
def test_fused_is_quietly_left_where_there_is_none(target: Any, options: Any, device: str) -> None:
    optimizer = build_optimizer(
        nn.Linear(3, 2, device=device),
        target=target,
        learning_rate=0.1,
        weight_decay=0.0,
        fused=None,
        **options,
    )
    assert not optimizer.param_groups[0].get("fused")


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        (
            torch.optim.SGD,
            {"momentun": 0.9},
            ["optimizer.momentun", "SGD", "nesterov", "mean optimizer.momentum?"],
        ),
        (torch.optim.Adam, {"momentum": 0.9}, ["optimizer.momentum", "Adam", "betas", "Remove it"]),
        (torch.optim.SGD, {"nesterov": True}, ["SGD", "'nesterov': True", "momentum"]),
        (
            torch.optim.Rprop,
            {"weight_decay": 0.1},
            ["optimizer.weight_decay: 0.1", "Rprop", "penalty.l2"],
        ),
        (
            torch.optim.RMSprop,
            {"fused": True},
            ["optimizer.fused: True", "RMSprop", "optimizer.fused=null"],
        ),
        (torch.optim.Adam, {"fused": True, "foreach": True}, ["Adam", "foreach"]),
        (torch.optim.Adam, {"betas": 0.9}, ["Adam", "'betas': 0.9"]),
        (torch.optim.Rprop, {"etas": [0.5]}, ["Rprop", "'etas': [0.5]"]),
        (torch.optim.LBFGS, {}, ["LBFGS", "several times a step", "optimizer=adam"]),
    ],
    ids=[
        "typo",
        "foreign",
        "combination",
        "no-decay",
        "no-kernel",
        "two-kernels",
        "one-number-for-two",
        "too-few-numbers",
        "many-gradients",
    ],
)
def test_what_the_optimizer_cannot_do_is_refused(
    target: Any, settings: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_optimizer(
            nn.Linear(3, 2),
            **{"target": target, "learning_rate": 0.1, "weight_decay": 0.0, "fused": None}
            | settings,
        )
    for word in words:
        assert word in str(caught.value)
