"""The signals against closed forms and gradients by hand; and that measuring leaves a run as it was."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pipeline.config import compose
from pipeline.data.store import load_prepared
from pipeline.errors import ConfigError, DataError, TrainingError
from pipeline.evaluation.signal_file import read_signals, write_signals
from pipeline.evaluation.tables import read_history_csv
from pipeline.models.build import build_network
from pipeline.records import EpochRecord, SignalRecord
from pipeline.stages import train as stage
from pipeline.training.fit import fit
from pipeline.training.signals import Signals

SMALL = ("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1")
QUICK = (*SMALL, "data.fraction=0.2", "trainer.max_epochs=2", "signals.probe_size=200")


class Own(lightning.LightningModule):
    """As a person would write it."""

    def __init__(self, network: nn.Module, *, learning_rate: float = 0.1, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        return functional.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.training_step(batch, 0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)


def examples(num: int = 64, *, size: Sequence[int] = (1, 4, 4), classes: int = 3) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((num, *size), generator=generator)
    return TensorDataset(images, torch.arange(num) % classes)


def trained(
    network: nn.Module,
    tmp_path: Path,
    data: Dataset[tuple[Tensor, ...]] | None = None,
    *,
    epochs: int = 1,
    signals: Signals | None = None,
    learning_rate: float = 0.1,
    weight_decay: float = 0.0,
    more: Sequence[lightning.Callback] = (),
    **options: object,
) -> SignalRecord:
    """Train in the fewest lines there are, and return what was measured."""
    data = data or examples()
    signals = signals or Signals()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[signals, *more],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,  # type: ignore[arg-type]
    )
    loaders = DataLoader(data, batch_size=16, shuffle=True), DataLoader(data, batch_size=32)
    trainer.fit(Own(network, learning_rate=learning_rate, weight_decay=weight_decay), *loaders)
    return signals.record()


def dense(*widths: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


# --- closed forms ---------------------------------------------------------------------------------


def test_the_first_loss_of_a_network_whose_last_layer_is_zero_is_ln_of_the_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 10, activation=nn.ReLU)
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    rows: list[EpochRecord] = []
    record = trained(network, tmp_path, examples(classes=10), signals=Signals(observers=[rows.append]))
    np.testing.assert_allclose(record.arrays["val/loss_per_example"][0], math.log(10), rtol=1e-6)
    assert rows[0].epoch == -1
    assert rows[0].metrics["signals/initial_loss_to_ln_classes"] == pytest.approx(1, rel=1e-6)
    assert "signals/initial_loss_to_ln_classes" not in rows[1].metrics


def test_units_with_very_negative_biases_are_dead_and_others_are_not(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 6, 3, activation=nn.ReLU)
    with torch.no_grad():
        network[1].bias[:2] = -1e3
        network[3].bias[:3] = -1e3
    record = trained(network, tmp_path, learning_rate=1e-6)
    np.testing.assert_array_equal(record.arrays["units/dead"], [[2 / 8, 3 / 6]] * 2)
    np.testing.assert_array_equal(record.arrays["units/num_units"], [8, 6])
    assert [a["layer"] for a in json.loads(record.metadata["activations"])] == ["network.1", "network.3"]


def test_a_channel_is_dead_only_if_it_is_silent_at_every_position_of_every_example(tmp_path: Path) -> None:
    convolution = nn.Conv2d(1, 4, 1)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        convolution.bias.copy_(torch.tensor([0.0, -1.5, -99.0, -1e6]))
    images, labels = examples(num=300).tensors
    images = images.clamp(-1, 1)
    images[299, 0, 3, 3] = 2.0  # the one position that wakes channel 1
    record = trained(network, tmp_path, TensorDataset(images, labels), learning_rate=0.0)
    assert record.arrays["units/dead"][0] == pytest.approx(2 / 4)
    images[299, 0, 3, 3] = 1.0
    record = trained(network, tmp_path, TensorDataset(images, labels), learning_rate=0.0)
    assert record.arrays["units/dead"][0] == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("activation", "bias", "lost"),
    [
        pytest.param(nn.Tanh, 1.0, math.tanh(1.0) ** 2, id="tanh"),
        pytest.param(nn.Sigmoid, 2.0, math.tanh(1.0) ** 2, id="sigmoid"),  # 1 - 4 s (1 - s) = tanh²(x / 2)
        pytest.param(nn.Tanh, 0.0, 0.0, id="tanh_in_the_middle"),
        pytest.param(nn.ReLU, 1.0, math.nan, id="relu_does_not_saturate"),
    ],
)
def test_saturation_is_the_lost_share_of_the_derivative(
    tmp_path: Path, activation: type[nn.Module], bias: float, lost: float
) -> None:
    network = dense(16, 8, 3, activation=activation)
    nn.init.zeros_(network[1].weight)
    with torch.no_grad():
        network[1].bias.fill_(bias)
        network[1].bias[:2] = 50.0
    record = trained(network, tmp_path, learning_rate=0.0)
    expected = [[(2 * 1.0 + 6 * lost) / 8]] * 2
    np.testing.assert_allclose(record.arrays["units/saturation"], expected, atol=1e-6)
    share = math.nan if math.isnan(lost) else 2 / 8
    np.testing.assert_array_equal(record.arrays["units/saturated"], [[share]] * 2)
    np.testing.assert_allclose(record.arrays["units/activation_std"], [[0.0]] * 2, atol=1e-6)


def test_gradient_norms_are_those_of_autograd_by_hand(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*dense(16, 8, 3, activation=nn.Tanh), nn.Dropout(0.9))
    start = {name: p.detach().clone() for name, p in network.state_dict().items()}
    signals = Signals(l1=0.01, l2=0.02)
    record = trained(network, tmp_path, signals=signals, learning_rate=0.5, weight_decay=0.03)
    images, labels = examples().tensors
    for moment, weights in enumerate([start, network.state_dict()]):
        w1, w2 = (weights[f"{i}.weight"].clone().requires_grad_() for i in (1, 3))
        hidden = torch.tanh(images.flatten(1) @ w1.T + weights["1.bias"])
        logits = hidden @ w2.T + weights["3.bias"]
        loss = (logits.logsumexp(1) - logits[torch.arange(len(labels)), labels]).mean()
        gradients = torch.autograd.grad(loss, [w1, w2])
        norms = [float(g.norm()) for g in gradients]
        np.testing.assert_allclose(record.arrays["layers/gradient_norm"][moment], norms, rtol=1e-4)
        np.testing.assert_allclose(
            record.arrays["layers/weight_norm"][moment],
            [float(w.detach().norm()) for w in (w1, w2)],
            rtol=1e-5,
        )
        penalty = [0.01 * w.detach().sign() + (2 * 0.02 + 0.03) * w.detach() for w in (w1, w2)]
        of_penalty = math.hypot(*(float(p.norm()) for p in penalty))
        share = of_penalty / (of_penalty + math.hypot(*norms))
        assert record.arrays["penalty_gradient_share"][moment] == pytest.approx(share, rel=1e-4)
        assert record.arrays["train/loss_per_example"][moment].mean() == pytest.approx(
            float(loss.detach()), rel=1e-5
        )
    np.testing.assert_array_equal(record.arrays["layers/num_weights"], [128, 24])


def test_update_ratios_and_norms_of_one_full_step_are_those_of_gradient_descent(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = dense(16, 8, 3, activation=nn.Tanh)
    w0 = network[1].weight.detach().clone()
    images, labels = examples(num=16).tensors
    functional.cross_entropy(network(images), labels).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    whole = math.sqrt(sum(float(g.square().sum()) for g in gradients))
    network.zero_grad()
    options = {"gradient_clip_val": 0.9 * whole}
    record = trained(network, tmp_path, examples(num=16), learning_rate=0.5, **options)
    ratio = float((network[1].weight.detach() - w0).norm() / network[1].weight.detach().norm())
    assert ratio > 0.001
    for name in ("layers/update_ratio", "layers/last_update_ratio"):
        assert math.isnan(record.arrays[name][0, 0])
        assert record.arrays[name][1, 0] == pytest.approx(ratio, rel=1e-4)
    for name in ("gradient_norm/mean", "gradient_norm/max"):
        assert math.isnan(record.arrays[name][0])
        assert record.arrays[name][1] == pytest.approx(whole, rel=1e-4)
    assert record.arrays["gradient_norm/clipped_share"][1] == 1.0


class Witness(lightning.Callback):
    """Keeps the weights before, and the gradient's norm of, every step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.norms: list[float] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.weights.append(pl_module.network[1].weight.detach().clone())

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        squares = [float(p.grad.square().sum()) for p in pl_module.parameters()]
        self.norms.append(math.sqrt(sum(squares)))


@pytest.mark.parametrize(("many", "every"), [(500, 1), (2, 2)], ids=["every step", "every second step"])
def test_an_epoch_of_several_steps_tells_the_mean_step_and_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, every: int
) -> None:
    monkeypatch.setattr("pipeline.training.signals.MANY_STEPS", many)
    torch.manual_seed(0)
    network, witness = dense(16, 8, 3, activation=nn.Tanh), Witness()
    arrays = trained(network, tmp_path, epochs=2, more=[witness], gradient_clip_val=1e-9).arrays
    np.testing.assert_array_equal(arrays["steps"], [0, 4, 8])
    weights = [*witness.weights, network[1].weight.detach()]
    for epoch in (0, 1):
        start, before_last, end = (weights[4 * epoch + i] for i in (0, 3, 4))
        mean, last = ((end - w).norm() / end.norm() for w in (start, before_last))
        norms = witness.norms[4 * epoch : 4 * epoch + 4][::every]
        assert arrays["layers/update_ratio"][epoch + 1, 0] == pytest.approx(float(mean) / 4, rel=1e-4)
        assert arrays["layers/last_update_ratio"][epoch + 1, 0] == pytest.approx(float(last), rel=1e-4)
        assert arrays["gradient_norm/mean"][epoch + 1] == pytest.approx(np.mean(norms), rel=1e-5)
        assert arrays["gradient_norm/max"][epoch + 1] == pytest.approx(max(norms), rel=1e-5)


def test_gradients_vanish_with_depth_in_a_deep_sigmoid_network_and_not_in_its_healthy_twin(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    sick = dense(16, *[16] * 15, 3, activation=nn.Sigmoid)
    norms = trained(sick, tmp_path, learning_rate=0.0).arrays["layers/gradient_norm"][0]
    assert np.all(np.diff(np.log(norms[:-1])) > 0)
    assert norms[0] < 1e-6 * norms[-1]
    healthy = dense(16, *[64] * 15, 3, activation=nn.ReLU)
    for module in healthy.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    norms = trained(healthy, tmp_path, learning_rate=0.0).arrays["layers/gradient_norm"][0]
    assert norms[0] > 0.01 * norms[-1]


class LastState(nn.Module):
    """A recurrent network of one unit, whose state doubles or halves from step to step."""

    def __init__(self, layer: nn.RNNBase, *, from_output: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, 3)
        self.from_output = from_output

    def forward(self, images: Tensor) -> Tensor:
        output, state = self.layer(images.flatten(1).unsqueeze(2))
        hidden = state[0] if isinstance(state, tuple) else state
        return self.head(output[:, -1] if self.from_output else hidden[-1])


@pytest.mark.parametrize("from_output", [True, False])
@pytest.mark.parametrize("factor", [0.5, 1.1])
def test_the_gradient_of_a_linear_recurrence_is_a_power_of_its_weight(
    tmp_path: Path, factor: float, from_output: bool
) -> None:
    torch.manual_seed(0)
    layer = nn.RNN(1, 1, nonlinearity="relu", batch_first=True)
    network = LastState(layer, from_output=from_output)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(0.0)
        layer.bias_ih_l0.fill_(1.0)  # positive, so that the ReLU is the identity
        layer.weight_hh_l0.fill_(factor)
    norms = trained(network, tmp_path, learning_rate=0.0).arrays["time_step/gradient_norm"][0]
    assert len(norms) == 16
    np.testing.assert_allclose(norms / norms[-1], factor ** np.arange(15.0, -1.0, -1.0), rtol=1e-4)


def test_the_unrolled_lstm_has_the_gradient_of_the_whole_one(tmp_path: Path) -> None:
    """Moving the first state by ε changes the loss by what the gradient at the first step says."""
    torch.manual_seed(0)
    layer = nn.LSTM(1, 1, batch_first=True)
    network = LastState(layer).double()
    images, labels = examples(num=1).tensors
    inputs = images.double().flatten(1).unsqueeze(2)
    with torch.no_grad():
        _, (h, c) = layer(inputs[:, :1])

        def loss(dh: float, dc: float) -> float:
            _, (last, _) = layer(inputs[:, 1:], (h + dh, c + dc))
            return float(functional.cross_entropy(network.head(last[-1]), labels))

        step = 1e-5
        slopes = [(loss(*d) - loss(*(-x for x in d))) / (2 * step) for d in ((step, 0.0), (0.0, step))]
    record = trained(network.float(), tmp_path, examples(num=1), learning_rate=0.0)
    found = record.arrays["time_step/gradient_norm"][0, 0]
    assert found == pytest.approx(math.hypot(*slopes), rel=1e-3)


# --- the run stays as it was ----------------------------------------------------------------------

ARCHITECTURES: dict[str, Sequence[str]] = {
    "mlp": ("model=mlp", "model.width=16", "model.dropout=0.5", "model.normalization=batch"),
    "cnn": (
        *("model=cnn", "model.width=4", "model.dense=16", "model.normalization=batch", "augment=affine"),
        *("model.block_dropout=0.2", "trainer.precision=bf16", "trainer.channels_last=true"),
    ),
    "lstm": ("model=lstm", "model.width=8", "model.depth=2", "model.dropout=0.3"),
    "penalized and clipped": (
        *("model=mlp", "model.width=16", "penalty=elastic_net", "trainer.gradient_clip_norm=0.1"),
        *("optimizer=momentum", "optimizer.weight_decay=0.001"),
    ),
}


@pytest.mark.parametrize("overrides", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_the_trained_weights_are_the_same_with_and_without_signals(
    project: Path, overrides: Sequence[str]
) -> None:
    prepared = load_prepared(project / "data" / "processed" / "mnist")
    states, histories = [], []
    for option in (("signals=standard", "signals.probe_size=200"), ("signals=none",)):
        settings, _ = compose([*QUICK[:-1], *overrides, *option], root=project)
        network = build_network(stage.architecture(settings, prepared.card), seed=settings.seed)
        result = fit(network, prepared, settings=settings)
        states.append(result.network.state_dict())
        histories.append([{k: v for k, v in r.metrics.items() if "time" not in k} for r in result.history])
        assert len(result.signals.arrays["epochs"]) == (3 if settings.signals.enabled else 0)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert histories[0] == histories[1]


class Drawn(TensorDataset):
    """Draws numbers from the global generators as it is read, as random transforms do."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        images, labels = self.tensors
        return images[index] + 0.1 * torch.randn(()) + float(np.random.rand()), labels[index]


def test_an_own_module_with_random_transforms_trains_as_without_signals(tmp_path: Path) -> None:
    weights = []
    for callbacks in ([], [Signals()]):
        torch.manual_seed(0)
        np.random.seed(0)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
        )
        network[2].eval()  # frozen statistics, as in fine-tuning
        module = Own(network)
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            callbacks=callbacks,
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(Drawn(*examples().tensors), batch_size=16, shuffle=True, generator=generator)
        trainer.fit(module, loader, DataLoader(examples(), batch_size=32))
        weights.append(network.state_dict())
        assert [m.training for m in (network, network[2], network[3])] == [True, False, True]
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


class Interrupted(BaseException):
    """As a kill: not an `Exception`, so that nobody takes it for a failure."""


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_a_resumed_run_writes_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    overrides = [*QUICK, *ARCHITECTURES[name], "trainer.max_epochs=4"]

    def train() -> bytes:
        settings, values = compose(overrides, root=project)
        stage.train(settings, values, root=project, output=project)
        return (project / "results" / name / "signals.safetensors").read_bytes()

    whole = train()
    shown = stage.epoch_line

    def stopping(row: EpochRecord, *, max_epochs: int) -> str:
        if row.epoch == 2:
            raise Interrupted
        return shown(row, max_epochs=max_epochs)

    monkeypatch.setattr(stage, "epoch_line", stopping)
    with pytest.raises(Interrupted):
        train()
    monkeypatch.setattr(stage, "epoch_line", shown)
    (project / "results" / name / "signals.safetensors").unlink()
    (checkpoint,) = (project / "checkpoints").glob("*/last.ckpt")
    torch.load(checkpoint, weights_only=True)  # raises where it holds more than tensors and plain values
    assert train() == whole
    record = read_signals(project / "results" / name / "signals.safetensors")
    np.testing.assert_array_equal(record.arrays["epochs"], [-1, 0, 1, 2, 3])


# --- what is measured, and what is stored ---------------------------------------------------------


def test_the_probe_of_all_images_has_the_loss_and_accuracy_of_the_history(project: Path) -> None:
    settings, values = compose(
        [*SMALL, "model.width=16", "augment=affine", "trainer.max_epochs=2"], root=project
    )
    stage.train(settings, values, root=project, output=project)
    arrays = read_signals(project / "results" / "mlp" / "signals.safetensors").arrays
    for row in read_history_csv(project / "results" / "mlp" / "history.csv"):
        for split in ("train", "val"):
            of_epoch = row.epoch + 1
            assert arrays[f"{split}/loss_per_example"][of_epoch].mean() == pytest.approx(
                row.metrics[f"{split}/loss"], rel=1e-5
            )
            assert arrays[f"{split}/correct"][of_epoch].mean() == pytest.approx(
                row.metrics[f"{split}/accuracy"], abs=1e-6
            )
        assert arrays["learning_rate"][of_epoch] == pytest.approx(row.metrics["learning_rate"])
        assert arrays["steps"][of_epoch] == row.step
    assert np.bincount(arrays["val/labels"]).min() > 30


def test_a_smaller_probe_is_stratified_and_belongs_to_the_seed(project: Path) -> None:
    labels = {}
    for seed in (0, 1):
        settings, values = compose([*QUICK, "model.width=4", f"signals.seed={seed}"], root=project)
        stage.train(settings, values, root=project, output=project)
        arrays = read_signals(project / "results" / "mlp" / "signals.safetensors").arrays
        labels[seed] = arrays["val/labels"]
        assert len(labels[seed]) == 200 and set(np.bincount(labels[seed]) - 20) <= {
            -4,
            -3,
            -2,
            -1,
            0,
            1,
            2,
            3,
            4,
        }
    assert not np.array_equal(labels[0], labels[1])
    assert np.array_equal(np.bincount(labels[0]), np.bincount(labels[1]))


def test_without_signals_the_file_of_an_earlier_run_does_not_stay(project: Path) -> None:
    path = project / "results" / "mlp" / "signals.safetensors"
    for option, moments in ("signals=standard", 3), ("signals=none", 0):
        settings, values = compose([*QUICK[:-1], "model.width=4", option], root=project)
        stage.train(settings, values, root=project, output=project)
        assert len(read_signals(path).arrays["epochs"]) == moments


def test_probe_settings_of_signals_that_are_off_are_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"signals.probe_size was set, but has no effect"):
        compose(["signals=none", "signals.probe_size=100"], root=project)


def test_every_moment_reaches_mlflow(project: Path) -> None:
    settings, values = compose([*QUICK[1:], "model.width=4"], root=project)
    stage.train(settings, values, root=project, output=project)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    arrays = read_signals(project / "results" / "mlp" / "signals.safetensors").arrays
    logged = client.get_metric_history(run.info.run_id, "signals/gradient_norm/hidden.linear1")
    assert {m.step: m.value for m in logged} == {
        step: float(value) for step, value in enumerate(arrays["layers/gradient_norm"][:, 0])
    }


def test_a_person_adds_the_signals_to_a_module_in_one_line(tmp_path: Path) -> None:
    shared = nn.ReLU()
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), shared, nn.Conv2d(4, 6, 3), shared, nn.Flatten(), nn.Linear(24, 3)
    )
    record = trained(network, tmp_path, epochs=2)
    written = read_signals(tmp_path / "signals" / "signals.safetensors")
    assert written.metadata == record.metadata
    for name, array in record.arrays.items():
        np.testing.assert_array_equal(written.arrays[name], array, strict=True)
    assert json.loads(written.metadata["layers"]) == ["network.0", "network.2", "network.5"]
    assert json.loads(written.metadata["activations"]) == [
        {"name": "network.1", "kind": "relu", "layer": "network.0"},
        {"name": "network.1:1", "kind": "relu", "layer": "network.2"},
    ]
    np.testing.assert_array_equal(written.arrays["units/num_units"], [4, 6])
    np.testing.assert_array_equal(written.arrays["epochs"], [-1, 0, 1])


def test_frozen_layers_have_no_gradient_and_do_not_move(tmp_path: Path) -> None:
    network = dense(16, 8, 3, activation=nn.ReLU)
    network[1].requires_grad_(False)
    arrays = trained(network, tmp_path).arrays
    assert np.isnan(arrays["layers/gradient_norm"][:, 0]).all()
    assert arrays["layers/update_ratio"][1, 0] == 0 < arrays["layers/update_ratio"][1, 1]


def test_a_failing_run_leaves_what_was_measured(tmp_path: Path) -> None:
    class Failing(lightning.Callback):
        def on_train_epoch_start(
            self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
        ) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("as a full disk")

    signals = Signals()
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[signals, Failing()],
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(RuntimeError, match="full disk"):
        trainer.fit(Own(dense(16, 4, 3, activation=nn.ReLU)), DataLoader(examples(), batch_size=16))
    arrays = read_signals(tmp_path / "signals" / "signals.safetensors").arrays
    np.testing.assert_array_equal(arrays["epochs"], [-1, 0])
    assert arrays["val/loss_per_example"].shape == (2, 0)


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self):
        return iter(zip(*examples().tensors, strict=True))


def test_a_stream_is_refused_with_a_way_out_that_works(tmp_path: Path) -> None:
    def fitted(signals: Signals) -> None:
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[signals],
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Own(dense(16, 4, 3, activation=nn.ReLU)), DataLoader(Stream(), batch_size=16))

    with pytest.raises(TrainingError, match=r"Stream is not such a data set.*train_probe="):
        fitted(Signals())
    images, labels = examples().tensors
    signals = Signals(train_probe=(images, labels), val_probe=(images, labels))
    fitted(signals)
    assert signals.record().arrays["train/loss_per_example"].shape == (2, 64)


def test_batches_of_another_form_are_refused(tmp_path: Path) -> None:
    images, labels = examples().tensors
    with pytest.raises(TrainingError, match="int64 label"):
        trained(
            dense(16, 4, 3, activation=nn.ReLU),
            tmp_path,
            TensorDataset(images, labels.float()),
            num_sanity_val_steps=0,
        )


def test_equal_records_are_equal_bytes_and_a_damaged_file_is_told(tmp_path: Path) -> None:
    record = trained(dense(16, 4, 3, activation=nn.ReLU), tmp_path)
    contents = set()
    for _ in range(8):
        write_signals(tmp_path / "a.safetensors", record)
        contents.add((tmp_path / "a.safetensors").read_bytes())
    assert len(contents) == 1
    (tmp_path / "a.safetensors").write_bytes(contents.pop()[:-5])
    with pytest.raises(DataError, match="Train again"):
        read_signals(tmp_path / "a.safetensors")


def test_a_run_that_diverges_leaves_history_and_signals_for_its_diagnosis(project: Path) -> None:
    overrides = [*QUICK, "model.width=8", "optimizer=sgd", "optimizer.learning_rate=1e6"]
    settings, values = compose(overrides, root=project)
    with pytest.raises(TrainingError, match="must stay finite"):
        stage.train(settings, values, root=project, output=project)
    rows = read_history_csv(project / "results" / "mlp" / "history.csv")
    arrays = read_signals(project / "results" / "mlp" / "signals.safetensors").arrays
    assert list(arrays["epochs"]) == [-1, *(row.epoch for row in rows)]
    assert not np.isfinite(arrays["train/loss_per_example"][-1]).all()
    assert not (project / "models" / "mlp").exists()
    assert json.loads((project / "results" / "mlp" / "config.json").read_text()) == values


def test_shuffled_labels_are_what_training_sees_and_validation_does_not(project: Path) -> None:
    found = {}
    for share in (0.0, 1.0):
        settings, values = compose(
            [*SMALL, "model.width=64", "trainer.max_epochs=8", f"data.label_noise={share}"], root=project
        )
        stage.train(settings, values, root=project, output=project)
        rows = read_history_csv(project / "results" / "mlp" / "history.csv")
        arrays = read_signals(project / "results" / "mlp" / "signals.safetensors").arrays
        found[share] = (rows[-1].metrics["val/accuracy"], arrays["train/labels"], arrays["val/labels"])
    assert found[0.0][0] > 0.85 and found[1.0][0] < 0.3
    assert not np.array_equal(found[0.0][1], found[1.0][1])
    np.testing.assert_array_equal(found[0.0][2], found[1.0][2])
