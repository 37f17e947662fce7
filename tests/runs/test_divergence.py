"""A training whose loss is lost names the layer, and leaves its last finite weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline import cli
from pipeline.commands.train_job import train
from pipeline.config import compose
from pipeline.data.store import load_prepared
from pipeline.runs.files import RunFiles
from pipeline.runs.network import untrained_network
from pipeline.runs.provenance import resume_key
from pipeline.training.fit import Diverged
from pipeline.training.module import Batch, Classifier
from pipeline.training.replay import find_loss
from trained_models import TINY

STEP, EVALUATE = Classifier.training_step, Classifier.validation_step
EPOCH, BATCH = 1, 0  # the first step of the second epoch


def planted(module: Classifier, batch_idx: int) -> bool:
    return module.current_epoch == EPOCH and batch_idx == BATCH


def first_layer(module: Classifier) -> nn.Linear:
    return next(m for m in module.network.modules() if isinstance(m, nn.Linear))


def images_lost(module: Classifier, batch: Batch, batch_idx: int) -> Tensor:
    images, labels = batch
    factor = math.nan if planted(module, batch_idx) else 1.0
    return STEP(module, (images * factor, labels), batch_idx)


def output_overflows(module: Classifier, batch: Batch, batch_idx: int) -> Tensor:
    if not planted(module, batch_idx):
        return STEP(module, batch, batch_idx)
    weight = first_layer(module).weight
    with torch.no_grad():
        weight.mul_(1e38)  # finite: its products with the pixels are not
    return STEP(module, batch, batch_idx)


def gradient_lost(module: Classifier, batch: Batch, batch_idx: int) -> Tensor:
    objective = STEP(module, batch, batch_idx)
    if planted(module, batch_idx):
        bias = first_layer(module).bias
        objective = objective + (0 * bias).abs().sqrt().sum()  # 0, with the slope 0 · ∞
    return objective


def loss_lost(module: Classifier, batch: Batch, batch_idx: int) -> Tensor:
    objective = STEP(module, batch, batch_idx)
    return objective / 0 if planted(module, batch_idx) else objective


CASES: dict[str, tuple[Callable[..., Tensor], str]] = {
    "images": (images_lost, r"the images of the batch, at step 1\."),
    "output": (output_overflows, r"the output of hidden\.linear1 \(Linear\), at step 1\."),
    "gradient": (
        gradient_lost,
        r"the gradient of the bias of hidden\.linear1 \(Linear\), at step 1\.",
    ),
    "loss": (loss_lost, r"the loss, at step 1\."),
}


def diverged(project: Path, *overrides: str) -> str:
    config = compose([*TINY, "trainer.max_epochs=3", "tracking=none", *overrides], root=project)
    with pytest.raises(Diverged) as caught:
        train(config, root=project, output=project)
    return str(caught.value)


def left(project: Path) -> dict[str, Tensor]:
    (path,) = (project / "checkpoints" / "diverged").glob("*-????????.safetensors")
    return load_file(path)


@pytest.mark.parametrize(("plant", "words"), CASES.values(), ids=CASES)
def test_the_first_lost_number_is_named_and_the_weights_before_it_are_kept(
    plant: Callable[..., Tensor], words: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second epoch's first step is lost: the weights are those of a training of one epoch."""
    healthy = compose(
        [*TINY, "trainer.max_epochs=1", "tracking=none", "name=healthy"], root=project
    )
    train(healthy, root=project, output=project)
    monkeypatch.setattr(Classifier, "training_step", plant)
    message = diverged(project)
    assert re.search(words, message), message
    assert "after epoch 2" in message and "The last finite weights are in checkpoints/" in message
    expected = load_file(project / "models" / "healthy" / "model.safetensors")
    kept = left(project)
    assert kept.keys() == expected.keys()
    assert all(torch.equal(kept[name], expected[name]) for name in expected)
    assert not (project / "models" / "mlp").exists()


def test_a_number_that_only_the_evaluation_loses_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(module: Classifier, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        if module.current_epoch == EPOCH:
            with torch.no_grad():
                first_layer(module).weight.fill_(math.inf)
        EVALUATE(module, batch, batch_idx, dataloader_idx)

    monkeypatch.setattr(Classifier, "validation_step", lost)
    assert "(Linear), in the evaluation." in diverged(project)
    assert all(bool(tensor.isfinite().all()) for tensor in left(project).values())


@pytest.mark.parametrize("model", ["mlp", "cnn", "lstm"])
def test_a_rate_that_is_far_too_high_leaves_finite_weights(model: str, project: Path) -> None:
    config = ("model.width=8", "model.depth=1", f"model={model}", "optimizer=sgd")
    message = diverged(project, *config, "optimizer.learning_rate=1e38")
    assert "The first number that was not finite was in" in message
    assert all(bool(tensor.isfinite().all()) for tensor in left(project).values())


def test_the_message_holds_the_command_that_goes_on_from_finite_weights(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a step, a training from them has their very weights; with a rate it learns on."""
    own = [*TINY, "optimizer=sgd", "trainer.max_epochs=2", "tracking=none"]
    with monkeypatch.context() as planting:
        planting.setattr(Classifier, "training_step", images_lost)
        message = diverged(project, "optimizer=sgd")
    found = re.search(r"(initial_weights=(\S+)) optimizer\.learning_rate=(\S+)$", message)
    assert found is not None
    start, path, rate = found.groups()
    assert float(rate) == pytest.approx(
        compose(own, root=project).settings.optimizer.learning_rate / 10
    )
    assert cli.call("train", [*own, start, "optimizer.learning_rate=1e-30", "name=still"]) == 0
    still = load_file(project / "models" / "still" / "model.safetensors")
    assert all(torch.equal(tensor, still[name]) for name, tensor in load_file(path).items())

    assert cli.call("train", [*own, start, f"optimizer.learning_rate={rate}"]) == 0
    before, after = (RunFiles(project, name).read_history() for name in ("still", "mlp"))
    assert after[-1].metrics["train/loss"] < before[0].metrics["train/loss"]


def test_the_weights_of_the_last_epoch_are_kept_where_those_of_the_last_step_are_too_large(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Classifier, "training_step", output_overflows)
    message = diverged(project)
    assert "The weights after the last whole epoch are in checkpoints/diverged/mlp-" in message
    (path,) = (project / "checkpoints" / "diverged").glob("*-epoch.safetensors")
    assert f"initial_weights={path.relative_to(project)} " in message
    assert max(float(tensor.abs().max()) for tensor in load_file(path).values()) < 100


def test_a_killed_training_goes_on_only_from_the_same_file(tiny_model: Path) -> None:
    """The path alone does not decide the weights: another file there is another training."""
    start = tiny_model / "models" / "mlp" / "model.safetensors"
    config = compose([*TINY, f"initial_weights={start}"], root=tiny_model)
    card = load_prepared(tiny_model / "data" / "processed" / "mnist").card
    before = resume_key(config.values, card, root=tiny_model)
    assert before == resume_key(config.values, card, root=tiny_model)
    start.write_bytes(start.read_bytes() + b" ")
    assert before != resume_key(config.values, card, root=tiny_model)


def test_a_model_of_initial_weights_needs_the_file_no_more(tiny_model: Path) -> None:
    start = tiny_model / "start.safetensors"
    start.write_bytes((tiny_model / "models" / "mlp" / "model.safetensors").read_bytes())
    assert cli.call("train", [*TINY, "tracking=none", "name=b", f"initial_weights={start}"]) == 0
    start.unlink()
    assert cli.call("evaluate", ["name=b", "tracking=none"]) == 0


def test_a_healthy_training_has_no_lost_number(project: Path) -> None:
    config = compose([*TINY, "trainer.max_epochs=2", "tracking=none"], root=project)
    data = load_prepared(project / "data" / "processed" / "mnist")
    found = find_loss(
        untrained_network(config.settings, data.card, root=project),
        data,
        settings=config.settings,
        checkpoint=None,
        until_epoch=1,
    )
    assert found is None


class Masked(nn.Module):
    """One layer of two names, and an attention mask with infinities that are meant so."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.first, self.out = nn.LazyLinear(8), nn.Linear(8, 8), nn.Linear(8, 10)
        self.second = self.first
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(8))

    def forward(self, images: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(self.enter(images.flatten(1)))))
        mixed = (x[:, None, :] + self.mask).softmax(2) @ x[:, :, None]
        return self.out(mixed[:, :, 0])


def test_shared_layers_and_masks_are_no_lost_numbers(project: Path) -> None:
    config = compose([*TINY, "trainer.max_epochs=1", "tracking=none"], root=project)
    data = load_prepared(project / "data" / "processed" / "mnist")
    network = Masked()
    network(torch.zeros(2, *data.card.image_shape))
    found = find_loss(network, data, settings=config.settings, checkpoint=None, until_epoch=0)
    assert found is None
