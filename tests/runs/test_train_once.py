"""The core of a training: data and a configuration in, a record out, and nothing else."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.config import RunConfig, compose
from pipeline.records import EpochRecord, Prepared
from pipeline.runs.network import untrained_network
from pipeline.runs.train_once import TrainedRun, train_once
from pipeline.training.fit import Diverged
from pipeline.training.module import Batch, Classifier
from pipeline.training.recorder import Observer
from small_mnist import load_prepared

ROOT = Path(__file__).parents[2]
TINY = (
    *("trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1"),
    *("model.width=8", "model.depth=1", "trainer.sample_size=50", "signals.sample_size=50"),
)


@pytest.fixture(scope="module")
def data() -> Prepared:
    return load_prepared(num_train=200)


def configured(*overrides: str) -> RunConfig:
    return compose([*TINY, *overrides], root=ROOT)


def trained(data: Prepared, *overrides: str, observers: tuple[Observer, ...] = ()) -> TrainedRun:
    config = configured("trainer.max_epochs=3", *overrides)
    return train_once(
        untrained_network(config.settings, data.card, root=ROOT),
        data,
        config,
        observers=observers,
    )


def test_the_core_loads_neither_tracking_nor_sweeps() -> None:
    code = "import pipeline.runs.train_once, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded & {"mlflow", "optuna", "pipeline.tracking", "pipeline.sweep"} == set()
    assert "pipeline.training.fit" in loaded


def test_a_training_writes_no_file(
    data: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(data)
    assert list(tmp_path.iterdir()) == []


def test_equal_configurations_give_equal_weights(data: Prepared) -> None:
    first, second = (trained(data).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_kept_epoch_is_the_one_with_the_lowest_validation_loss(data: Prepared) -> None:
    run = trained(data, "trainer.keep=best", "optimizer.learning_rate=0.3")
    losses = [row.metrics["val/loss"] for row in run.history]
    assert run.kept.metrics["val/loss"] == min(losses)
    assert run.summary.kept_epoch == losses.index(min(losses)) + 1


def test_the_summary_counts_parameters_and_epochs(data: Prepared) -> None:
    summary = trained(data).summary
    assert summary.parameters == (784 * 8 + 8) + (8 * 10 + 10)
    assert (summary.epochs, summary.kept_epoch) == (3, 3)
    assert (summary.accelerator, summary.precision, summary.num_threads) == ("cpu", "32", 1)
    assert summary.stopped_early is False


def test_an_objective_is_a_number_of_the_kept_epoch_or_a_size_of_the_run(data: Prepared) -> None:
    run = trained(data)
    assert run.objective("val/loss") == run.history[-1].metrics["val/loss"]
    assert run.objective(["val/accuracy", "parameters"]) == [
        run.history[-1].metrics["val/accuracy"],
        6370.0,
    ]


def test_an_observer_that_returns_true_ends_the_training(data: Prepared) -> None:
    def after_two(row: EpochRecord) -> bool:
        return row.epoch == 1

    run = trained(data, observers=(after_two,))
    assert [row.epoch for row in run.history] == [0, 1]
    assert run.summary.stopped_early is True


def test_the_diagnosis_is_of_the_run_that_has_ended(data: Prepared) -> None:
    diagnosis = trained(data, "optimizer=sgd", "optimizer.learning_rate=1e-7").diagnosis
    assert diagnosis is not None
    assert diagnosis.verdict == "learning_rate_too_low"


def test_a_divergence_names_the_step_at_which_the_loss_was_lost(
    data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Classifier.training_step

    def lost(module: Classifier, batch: Batch, batch_idx: int) -> Tensor:
        planted = module.current_epoch == 1 and batch_idx == 1
        images, labels = batch
        return step(module, (images * math.nan if planted else images, labels), batch_idx)

    monkeypatch.setattr(Classifier, "training_step", lost)
    with pytest.raises(Diverged, match="after epoch 2, first at its step 2: the loss must stay"):
        trained(data)


def test_a_divergence_carries_history_and_signals(data: Prepared) -> None:
    with pytest.raises(Diverged, match="must stay finite") as caught:
        trained(data, "optimizer=sgd", "optimizer.learning_rate=1e30")
    measured = [row.epoch for row in caught.value.history]
    assert not math.isfinite(caught.value.history[-1].metrics["train/objective"])
    assert caught.value.signals.arrays["epochs"].tolist() == [-1, *measured]
