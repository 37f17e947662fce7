"""The batches of an evaluation run beside one another, and their answers are the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.models.features import logits_and_features
from pipeline.models.inference import CONVOLVED, predict_logits
from pipeline.models.inference_threads import FEWEST_BATCHES, beside_one_another

KNOWN = nn.Linear(2, 1).eval()
SCALE = {"mean": (0.1,), "std": (0.3,)}
BATCHES = [np.full(3, number) for number in range(40)]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 9), nn.Linear(9, 3))
    return nn.Sequential(*layers).eval()


def pictures(number: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (number, 1, 8, 8), dtype=np.uint8)


def test_two_batches_are_computed_at_the_same_time_each_on_one_thread() -> None:
    both = threading.Barrier(2)

    def compute(batch: np.ndarray) -> tuple[int, int]:
        both.wait(timeout=20)  # for ever, where one batch follows the other
        return int(batch[0]), torch.get_num_threads()

    found = list(beside_one_another(compute, BATCHES, KNOWN))
    assert found == [(number, 1) for number in range(40)]
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [2, 2]


def test_only_a_few_batches_are_computed_before_they_are_asked_for() -> None:
    """The answers to large data must not all wait in memory."""
    done: list[int] = []
    answers = beside_one_another(lambda batch: done.append(int(batch[0])), BATCHES, KNOWN)
    next(answers)
    assert len(done) < 10
    answers.close()  # waits for what runs
    assert len(done) < 10


def test_an_error_of_a_batch_is_raised_in_its_place() -> None:
    def compute(batch: np.ndarray) -> int:
        if batch[0] == 20:
            raise ValueError("the twentieth")
        return int(batch[0])

    answers = beside_one_another(compute, BATCHES, KNOWN)
    assert [next(answers) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="the twentieth"):
        next(answers)


class Counting(nn.Module):
    """A layer of a person's own that knows how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.num_calls += 1
        return images.flatten(1) + self.num_calls


def compiled() -> nn.Module:
    network = nn.Linear(2, 1).eval()
    network.compile(backend="eager")
    return network


@pytest.mark.parametrize(
    ("network", "batches", "num_threads"),
    [
        (nn.Sequential(Counting()).eval(), BATCHES, 2),
        (nn.Linear(2, 1).train(), BATCHES, 2),
        (compiled(), BATCHES, 2),
        (KNOWN, BATCHES[: FEWEST_BATCHES - 1], 2),
        (KNOWN, BATCHES, 1),
    ],
    ids=["own layer", "training", "compiled", "few batches", "one thread"],
)
def test_else_one_batch_follows_the_other(
    network: nn.Module, batches: list[np.ndarray], num_threads: int
) -> None:
    torch.set_num_threads(num_threads)
    used = beside_one_another(
        lambda _: (threading.current_thread(), torch.get_num_threads()), batches, network
    )
    assert set(used) == {(threading.main_thread(), num_threads)}


def test_a_layer_of_a_persons_own_sees_each_batch_once_and_in_order() -> None:
    images = np.zeros((500 * 9, 1, 1, 2), np.uint8)
    network = nn.Sequential(Counting()).eval()
    found = predict_logits(network, images, mean=(0.0,), std=(1.0,))
    assert np.array_equal(found[::500, 0], np.arange(1, 10))


def test_logits_and_features_are_those_of_one_batch_after_the_other() -> None:
    images, network = pictures(1300), convolutional()
    logits, features = logits_and_features(network, images, **SCALE)
    assert np.array_equal(logits, predict_logits(network, images, **SCALE))
    parts = [images[i : i + CONVOLVED] for i in range(0, 1300, CONVOLVED)]  # too few for threads
    alone = [logits_and_features(network, part, **SCALE) for part in parts]
    assert np.array_equal(logits, np.concatenate([part[0] for part in alone]))
    assert len(features) == 2
    for number, layer in enumerate(features):
        assert np.array_equal(layer, np.concatenate([part[1][number] for part in alone]))
