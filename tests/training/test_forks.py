"""Forks: the images that they train on, their length, and their settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from pipeline.config import compose
from pipeline.data.label_noise import shuffled_labels
from pipeline.data.split import stratified_fraction
from pipeline.data.store import load_prepared
from pipeline.diagnosis.probes.plan import plan
from pipeline.training import forks
from trained_models import TINY


class Frozen(nn.Sequential):
    """Its class keeps one of two equal normalizations in evaluation mode."""

    def __init__(self) -> None:
        frozen, free = (nn.BatchNorm1d(784) for _ in range(2))
        super().__init__(nn.Flatten(), frozen.eval(), free, nn.Dropout(0.5), nn.Linear(784, 10))


def test_a_fork_sees_the_images_and_labels_that_the_run_saw(project: Path) -> None:
    """Not others of the same fraction, and not the true labels of those that were shuffled."""
    settings, _ = compose([*TINY, "seed=3"], root=project)
    prepared = load_prepared(project / "data/processed/mnist")
    part = forks.training_part(settings, prepared)
    indices = stratified_fraction(prepared.train.labels, fraction=0.2, seed=3)
    noisy = shuffled_labels(prepared.train.labels, among=indices, share=0.1, seed=0)
    assert len(part) == 400
    np.testing.assert_array_equal(part.images, prepared.train.images[indices])
    np.testing.assert_array_equal(part.labels, noisy[indices])
    assert (part.labels != prepared.train.labels[indices]).any()


@pytest.mark.parametrize(
    ("num_train", "epochs_done", "asked", "epochs", "images"),
    [
        pytest.param(55_000, 10, None, 1, 40_000, id="most_of_an_epoch_of_mnist"),
        pytest.param(1_001, 10, None, 2, 1_001, id="a_quarter_of_the_run"),
        pytest.param(1_001, 1, None, 1, 1_001, id="one_epoch_at_least"),
        pytest.param(10_000, 400, None, 4, 10_000, id="not_more_than_the_cap"),
        pytest.param(1_000_000, 10, None, 1, 40_000, id="a_part_of_a_long_epoch"),
        pytest.param(1_000_000, 10, 2, 2, 1_000_000, id="the_length_that_a_person_chose"),
    ],
)
def test_the_length_of_a_fork_is_bounded(
    num_train: int, epochs_done: int, asked: int | None, epochs: int, images: int
) -> None:
    found = plan(
        num_train=num_train, epochs_done=epochs_done, images_per_s=1e4, epochs=asked, widened=True
    )
    assert (found.epochs, found.num_images, found.num_runs) == (epochs, images, 20)
    assert found.shown_images == 14 * epochs * images + 6 * 300 * 64


@pytest.mark.parametrize(
    ("schedule", "last_rate", "shape", "peak"),
    [
        pytest.param("constant", 0.001, "constant", 0.001, id="constant"),
        pytest.param("plateau", 0.0001, "constant", 0.0001, id="the_last_rate_of_a_plateau"),
        pytest.param("cosine", 1e-9, "cosine", 0.001, id="once_more_from_the_top"),
        pytest.param("onecycle", 1e-9, "cosine", 0.001, id="once_more_as_half_a_cosine"),
    ],
)
def test_a_fork_keeps_the_rate_or_the_shape_of_the_run(
    schedule: str, last_rate: float, shape: str, peak: float, project: Path
) -> None:
    settings, _ = compose(
        [f"schedule={schedule}", "trainer.early_stopping_patience=2"], root=project
    )
    fork = forks.fork_settings(settings, last_rate=last_rate, factor=3.0, epochs=2, seed=5)
    assert fork.schedule.name == shape
    assert fork.optimizer.learning_rate == pytest.approx(3 * peak)
    assert fork.trainer.early_stopping_patience is None and fork.trainer.max_epochs == 2
    assert fork.model == settings.model and fork.penalty == settings.penalty and fork.seed == 5


def test_a_fork_records_nothing_and_is_not_cut_by_the_length_of_the_run(project: Path) -> None:
    monitor = "+callbacks.rate={_target_: pytorch_lightning.callbacks.LearningRateMonitor}"
    extra = "trainer.extra={max_steps: 7, accumulate_grad_batches: 4}"
    settings, _ = compose(["logger=csv", "callbacks=ema", monitor, extra], root=project)
    fork = forks.fork_settings(settings, last_rate=0.1, factor=1.0, epochs=2, seed=5)
    assert fork.logger is None and fork.metrics is None
    assert isinstance(fork.callbacks, dict) and list(fork.callbacks) == ["ema"]
    assert fork.trainer.extra == {"accumulate_grad_batches": 4}
    batch = forks.one_batch_settings(settings, epochs=2, batch_size=64)
    assert batch.trainer.extra is None, "64 equal images a step, 300 steps"


def test_a_fork_leaves_a_part_that_its_class_keeps_in_evaluation(project: Path) -> None:
    settings, _ = compose([*TINY, "trainer.max_epochs=1"], root=project)
    prepared = load_prepared(project / "data/processed/mnist")
    part = forks.training_part(settings, prepared)
    trained = forks.Trained(
        Frozen().eval(), Frozen(), settings, prepared.card, part, prepared.val, 0.1, True
    )
    fork = forks._fitted(trained.network, settings, part, trained)
    assert isinstance(fork, Frozen)
    counts = [int(module.num_batches_tracked) for module in (fork[1], fork[2])]  # type: ignore[arg-type]
    assert counts[0] == 0 and counts[1] > 0
