"""Callbacks, metrics and arguments of Lightning in a training of the pipeline's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from pipeline.commands.train_job import train
from pipeline.config import compose
from pipeline.config.lightning import PASSED, SET_BY_US
from pipeline.data.augment import with_generator
from pipeline.data.store import load_prepared
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.runs.files import RunFiles
from pipeline.training.averaging import WeightsOfLastEpochs

MNIST = "data/processed/mnist"
QUICK = (
    *("data.fraction=0.2", "trainer.max_epochs=3", "trainer.sample_size=100"),
    *("trainer.accelerator=cpu", "signals=none", "tracking=none", "model.width=16"),
)


def trained(project: Path, *overrides: str) -> list[Mapping[str, float]]:
    """The numbers of each epoch of a short training."""
    config = compose([*QUICK, *overrides], root=project)
    train(config, root=project, output=project)
    return [row.metrics for row in RunFiles(project, config.settings.name).read_history()]


def val_logits(project: Path) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the kept network for the validation part, and its labels."""
    model, val = load_model(project / "models/mlp"), load_prepared(project / MNIST).val
    return predict_logits(model.network, val.images, mean=model.mean, std=model.std), val.labels


def test_every_argument_of_lightning_s_trainer_is_passed_on_or_has_a_way_of_ours() -> None:
    arguments = set(inspect.signature(lightning.Trainer.__init__).parameters) - {"self"}
    assert arguments == {*PASSED, *SET_BY_US}
    assert not {*PASSED} & {*SET_BY_US}


def test_a_metric_is_that_of_the_kept_network(project: Path) -> None:
    rows = trained(project, "metrics=f1")
    logits, labels = val_logits(project)
    expected = f1_score(labels, logits.argmax(axis=1), average="macro")
    assert rows[-1]["val/f1"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "callbacks",
    [("callbacks=ema",), ("callbacks=swa", "callbacks.swa.start=0.3")],
    ids=["ema", "swa"],
)
@pytest.mark.parametrize("keep", ["last", "best"])
def test_averaged_weights_are_the_ones_that_were_measured(
    project: Path, callbacks: tuple[str, ...], keep: str
) -> None:
    rows = trained(project, *callbacks, f"trainer.keep={keep}")
    plain = trained(project, "name=plain")
    logits, labels = val_logits(project)
    accuracy = (logits.argmax(axis=1) == labels).mean()
    kept = rows[-1] if keep == "last" else min(rows, key=lambda row: row["val/loss"])
    assert kept["val/accuracy"] == pytest.approx(accuracy)
    assert kept["val/loss"] != plain[-1]["val/loss"]


class _Module(lightning.LightningModule):
    """One weight that each step raises by one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.layer.weight)
        self.measured: list[float] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        return -self.layer.weight.sum()

    def validation_step(self, batch: Tensor, _: int) -> None:
        self.measured.append(float(self.layer.weight.detach()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def test_the_mean_of_the_last_epochs_is_measured_and_kept(tmp_path: Path) -> None:
    """Two steps an epoch: the weight is 2, 4, 6, 8 at the ends; the mean begins with the third."""
    module, data = _Module(), torch.utils.data.DataLoader(torch.zeros(2, 1), batch_size=1)
    one: Any = torch.utils.data.DataLoader(torch.zeros(1, 1))
    trainer = lightning.Trainer(
        max_epochs=4,
        callbacks=[WeightsOfLastEpochs(start=0.5)],
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, one)
    assert module.measured == [2, 4, 6, 7]
    assert float(module.layer.weight.detach()) == 7


def test_steps_end_the_training_and_their_epoch_is_measured(project: Path) -> None:
    """400 images in batches of 128 are 4 batches; two make a step, so epoch 2 has step 3."""
    extra = "trainer.extra={accumulate_grad_batches: 2, max_steps: 3}"
    rows = trained(project, extra, "schedule=cosine")
    history = RunFiles(project, "mlp").read_history()
    assert [row.step for row in history] == [2, 3]
    assert rows[1]["val/loss"] < rows[0]["val/loss"]
    assert rows[1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)  # the cosine ends with them


def test_accumulated_batches_make_the_step_of_one_large_batch(project: Path) -> None:
    """Four equal batches of 100 in one step are the batch of all 400 images."""
    equal = ("optimizer=sgd", "optimizer.learning_rate=0.1", "model.dropout=0.0")
    parts = trained(
        project, *equal, "data.batch_size=100", "trainer.extra={accumulate_grad_batches: 4}"
    )
    whole = trained(project, *equal, "data.batch_size=all")
    for part, one in zip(parts, whole, strict=True):
        assert part["val/loss"] == pytest.approx(one["val/loss"], rel=1e-5)
        assert part["train/objective"] == pytest.approx(one["train/objective"], rel=1e-2)


def test_a_transform_without_a_generator_draws_by_ours_and_leaves_torch_s_alone() -> None:
    images = torch.zeros(3, 1, 2, 2)
    noise = with_generator(lambda batch: batch + torch.rand(batch.shape))
    before = torch.get_rng_state()
    first, again, other = (
        noise(images, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_a_profiler_writes_its_report_and_leaves_the_weights_as_they_are(project: Path) -> None:
    trained(project, "name=plain")
    trained(project, "name=timed", "trainer.extra={profiler: simple}")
    (report,) = (project / "outputs/lightning/timed").glob("*profile*.txt")
    assert "training_step" in report.read_text()
    plain, timed = (load_model(project / "models" / name) for name in ("plain", "timed"))
    assert timed.weights_sha256 == plain.weights_sha256
