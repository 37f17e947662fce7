"""A wider network that is the same function as the narrow one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline.config import compose
from pipeline.models.build import Architecture, build_network
from pipeline.models.widen import NotWidened, embed

WIDENED = {
    "mlp": ("model=mlp", "model.width=5"),
    "mlp_deep_batch_norm": (
        "model=mlp",
        "model.width=5",
        "model.depth=4",
        "model.normalization=batch",
    ),
    "cnn": ("model=cnn", "model.width=3", "model.dense=6"),
    "cnn_batch_norm": ("model=cnn", "model.width=3", "model.dense=6", "model.normalization=batch"),
    "resnet": ("model=resnet", "model.width=3", "model.depth=2"),
    "rnn": ("model=rnn", "model.width=5", "model.depth=2"),
    "lstm": ("model=lstm", "model.width=5", "model.depth=2"),
    "gru": ("model=gru", "model.width=5", "model.depth=2"),
}


def network(*overrides: str, root: Any, seed: int, twice: bool = False) -> torch.nn.Module:
    settings, _ = compose(overrides, root=root)
    model = settings.model
    if twice:
        dense = {"dense": 2 * model.dense} if hasattr(model, "dense") else {}
        model = model.model_copy(update={"width": 2 * model.width, **dense})  # type: ignore[attr-defined]
    architecture = Architecture(
        model=model,
        activation=settings.activation,
        init=settings.init,
        input_shape=(1, 14, 14),
        num_classes=10,
    )
    return build_network(architecture, seed=seed).eval()


@pytest.mark.parametrize("overrides", WIDENED.values(), ids=WIDENED.keys())
def test_the_wider_network_answers_as_the_narrow_one_and_its_new_units_can_learn(
    overrides: tuple[str, ...], project: Any
) -> None:
    narrow = network(*overrides, root=project, seed=0)
    wide = network(*overrides, root=project, seed=1, twice=True)
    images = torch.randn(32, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in narrow.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
        wanted = narrow(images)
        assert not torch.allclose(wide(images), wanted, atol=1e-3)
        embed(narrow, wide, images=images)
        torch.testing.assert_close(wide(images), wanted)
    assert _new_units_that_matter(wide, images) > 0.3  # a ReLU may be silent on all of them


def _new_units_that_matter(wide: torch.nn.Module, images: torch.Tensor) -> float:
    """Share of the output layer's new inputs whose weights one step of gradient descent moves."""
    torch.nn.functional.cross_entropy(wide(images), torch.arange(len(images)) % 10).backward()
    gradient = wide.output.weight.grad  # type: ignore[union-attr]
    assert isinstance(gradient, torch.Tensor)
    new = gradient[:, gradient.shape[1] // 2 :]
    return float((new.abs().sum(0) > 0).float().mean())


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=mlp", "model.width=5", "model.normalization=layer"),
        ("model=gru", "model.width=5", "model.bidirectional=true"),
    ],
    ids=["layer_norm", "two_directions"],
)
def test_a_network_that_cannot_be_widened_unchanged_is_refused(
    overrides: tuple[str, ...], project: Any
) -> None:
    narrow = network(*overrides, root=project, seed=0)
    wide = network(*overrides, root=project, seed=1, twice=True)
    with pytest.raises(NotWidened, match="logits change"):
        embed(narrow, wide, images=torch.rand(8, 1, 14, 14))
