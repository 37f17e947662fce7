"""Signals of layers, against gradients and updates computed by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from own_module import dense, examples, measured
from pipeline.training.anatomy import discover
from pipeline.training.signals import Signals


def by_hand(weights: dict[str, Tensor]) -> tuple[float, list[Tensor], list[Tensor]]:
    """Loss, weights and gradients of a tanh network 16 - 8 - 3 on all examples."""
    images, labels = examples().tensors
    w1, w2 = (weights[f"{i}.weight"].clone().requires_grad_() for i in (1, 3))
    hidden = torch.tanh(images.flatten(1) @ w1.T + weights["1.bias"])
    logits = hidden @ w2.T + weights["3.bias"]
    loss = (logits.logsumexp(1) - logits[torch.arange(len(labels)), labels]).mean()
    gradients = torch.autograd.grad(loss, [w1, w2])
    return float(loss.detach()), [w1.detach(), w2.detach()], list(gradients)


def test_gradient_norms_are_those_of_autograd_by_hand(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*dense(16, 8, 3, activation=nn.Tanh), nn.Dropout(0.9))
    start = {name: p.detach().clone() for name, p in network.state_dict().items()}
    arrays = measured(network, tmp_path, learning_rate=0.5).arrays
    np.testing.assert_array_equal(arrays["layers/num_weights"], [16 * 8, 8 * 3])
    for moment, state in enumerate([start, network.state_dict()]):
        loss, weights, gradients = by_hand(state)
        norms = [float(g.norm()) for g in gradients]
        np.testing.assert_allclose(arrays["layers/gradient_norm"][moment], norms, rtol=1e-4)
        sizes = [float(w.norm()) for w in weights]
        np.testing.assert_allclose(arrays["layers/weight_norm"][moment], sizes, rtol=1e-5)
        losses = arrays["train/loss_per_example"][moment]
        assert losses.mean() == pytest.approx(loss, rel=1e-5)


def test_the_share_of_the_penalties_counts_l1_l2_and_coupled_weight_decay(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 3, activation=nn.Tanh)
    _, weights, gradients = by_hand(network.state_dict())
    signals = Signals(l1=0.01, l2=0.02)
    arrays = measured(network, tmp_path, signals=signals, weight_decay=0.03).arrays
    penalties = [0.01 * w.sign() + (2 * 0.02 + 0.03) * w for w in weights]
    of_penalty = math.hypot(*(float(p.norm()) for p in penalties))
    of_loss = math.hypot(*(float(g.norm()) for g in gradients))
    share = of_penalty / (of_penalty + of_loss)
    assert arrays["penalty_gradient_share"][0] == pytest.approx(share, rel=1e-4)


def test_update_ratios_of_one_full_step_are_those_of_gradient_descent(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 3, activation=nn.Tanh)
    images, labels = examples(num=16).tensors
    start = network[1].weight
    loss = functional.cross_entropy(network(images), labels)
    step = 0.5 * torch.autograd.grad(loss, start)[0]
    ratio = float((step.norm() / (start - step).norm()).detach())
    arrays = measured(network, tmp_path, examples(num=16), learning_rate=0.5).arrays
    for name in ("layers/update_ratio", "layers/last_update_ratio"):
        assert math.isnan(arrays[name][0, 0])
        assert arrays[name][1, 0] == pytest.approx(ratio, rel=1e-4)


def test_the_training_gradient_norm_is_the_one_before_clipping(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 3, activation=nn.Tanh)
    images, labels = examples(num=16).tensors
    loss = functional.cross_entropy(network(images), labels)
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    whole = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    arrays = measured(network, tmp_path, examples(num=16), gradient_clip_val=0.9 * whole).arrays
    for name in ("gradient_norm/mean", "gradient_norm/max"):
        assert math.isnan(arrays[name][0])
        assert arrays[name][1] == pytest.approx(whole, rel=1e-4)
    assert arrays["gradient_norm/clipped_share"][1] == 1.0


class Witness(lightning.Callback):
    """Keeps the weights before every step, and the norm of its gradient."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.norms: list[float] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.weights.append(pl_module.network[1].weight.detach().clone())

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        squares = [float(p.grad.square().sum()) for p in pl_module.parameters()]
        self.norms.append(math.sqrt(sum(squares)))


def test_an_epoch_of_several_steps_has_the_ratio_of_a_mean_step_and_of_the_last(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    network, witness = dense(16, 8, 3, activation=nn.Tanh), Witness()
    arrays = measured(network, tmp_path, epochs=2, more=[witness]).arrays
    np.testing.assert_array_equal(arrays["steps"], [0, 4, 8])
    weights = [*witness.weights, network[1].weight.detach()]
    for epoch in (0, 1):
        start, before_last, end = (weights[4 * epoch + i] for i in (0, 3, 4))
        mean = float((end - start).norm() / end.norm()) / 4
        last = float((end - before_last).norm() / end.norm())
        assert arrays["layers/update_ratio"][epoch + 1, 0] == pytest.approx(mean, rel=1e-4)
        assert arrays["layers/last_update_ratio"][epoch + 1, 0] == pytest.approx(last, rel=1e-4)


@pytest.mark.parametrize(
    ("many", "every"), [(500, 1), (2, 2)], ids=["every_step", "every_second_step"]
)
def test_a_long_epoch_takes_the_norm_of_every_second_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, every: int
) -> None:
    monkeypatch.setattr("pipeline.training.step_signals.MANY_STEPS", many)
    witness = Witness()
    network = dense(16, 8, 3, activation=nn.Tanh)
    arrays = measured(network, tmp_path, epochs=2, more=[witness], gradient_clip_val=1e-9).arrays
    for epoch in (0, 1):
        norms = witness.norms[4 * epoch : 4 * epoch + 4][::every]
        assert arrays["gradient_norm/mean"][epoch + 1] == pytest.approx(np.mean(norms), rel=1e-5)
        assert arrays["gradient_norm/max"][epoch + 1] == pytest.approx(max(norms), rel=1e-5)


def first_gradients(network: nn.Module, folder: Path) -> np.ndarray:
    """Gradient norm of each layer before the first step."""
    return measured(network, folder, learning_rate=0.0).arrays["layers/gradient_norm"][0]


def test_gradients_vanish_with_depth_in_a_deep_sigmoid_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    norms = first_gradients(dense(16, *[16] * 15, 3, activation=nn.Sigmoid), tmp_path)
    assert np.all(np.diff(np.log(norms[:-1])) > 0)
    assert norms[0] < 1e-6 * norms[-1]


def test_gradients_do_not_vanish_in_a_deep_relu_network_with_he_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, *[64] * 15, 3, activation=nn.ReLU)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    norms = first_gradients(network, tmp_path)
    assert norms[0] > 0.01 * norms[-1]


def test_frozen_layers_have_no_gradient_and_do_not_move(tmp_path: Path) -> None:
    network = dense(16, 8, 3, activation=nn.ReLU)
    network[1].requires_grad_(False)
    arrays = measured(network, tmp_path).arrays
    assert np.isnan(arrays["layers/gradient_norm"][:, 0]).all()
    assert arrays["layers/update_ratio"][1, 0] == 0 < arrays["layers/update_ratio"][1, 1]


@pytest.mark.parametrize("reverse", [False, True])
def test_parametrized_weights_belong_to_their_layers(reverse: bool, tmp_path: Path) -> None:
    network = dense(16, 8, 3, activation=nn.Tanh)
    parametrizations.weight_norm(network[1])
    signals = Signals()
    arrays = measured(network, tmp_path, signals=signals).arrays
    assert json.loads(signals.record().metadata["layers"]) == ["network.1", "network.3"]
    np.testing.assert_array_equal(arrays["layers/num_weights"], [8 + 16 * 8, 8 * 3])
    assert np.isfinite(arrays["layers/gradient_norm"]).all()

    lstm = nn.LSTM(4, 5, bidirectional=reverse)
    parametrizations.orthogonal(lstm, "weight_hh_l0")
    found = discover(lstm, lambda: lstm(torch.zeros(3, 2, 4)))
    assert [(layer.name, len(layer.weights)) for layer in found.layers] == [
        (".l0", 4 if reverse else 2)
    ]
