"""The batches of an evaluation are computed by the faster number of threads, with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.models import inference_threads
from pipeline.models.inference import predict_logits
from pipeline.models.inference_threads import FIRST_WAIT, InferenceThreads

BATCH = np.ones((5, 2), np.float32)
KNOWN = nn.Linear(2, 1)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(inference_threads.time, "perf_counter", lambda: now[0])
    return now


def computing(clock: list[float], seconds: dict[int, float], used: list[int]) -> Callable:
    """A network that takes so many seconds with so many threads."""

    def compute(batch: np.ndarray) -> Tensor:
        number = torch.get_num_threads()
        used.append(number)
        clock[0] += seconds[number]
        return torch.from_numpy(batch).sum(1)

    return compute


def test_a_busy_machine_computes_with_one_thread_and_seldom_tries_again(clock: list[float]) -> None:
    used: list[int] = []
    compute = computing(clock, {1: 0.01, 2: 0.3}, used)
    threads = InferenceThreads(KNOWN, 200)
    for _ in range(200):
        torch.testing.assert_close(threads.outputs(compute, BATCH), torch.full((5,), 2.0))
    assert used[:4] == [1, 2, 2, 1]  # the bits of both, then the time of both
    waits = np.diff([i for i, number in enumerate(used) if number == 2][1:]).tolist()
    assert waits == [FIRST_WAIT + 2, 2 * FIRST_WAIT + 1, 4 * FIRST_WAIT + 1, 8 * FIRST_WAIT + 1]
    assert torch.get_num_threads() == 2


def test_a_machine_that_becomes_busy_is_noticed(clock: list[float]) -> None:
    used: list[int] = []
    seconds = {1: 0.02, 2: 0.01}
    threads = InferenceThreads(KNOWN, 200)
    compute = computing(clock, seconds, used)
    for index in range(200):
        seconds[2] = 0.01 if index < 50 else 0.3
        threads.outputs(compute, BATCH)
    assert used[10:40].count(2) > 25 and used[-50:].count(1) > 45


def test_outputs_whose_bits_depend_on_the_number_get_all_threads(clock: list[float]) -> None:
    used: list[int] = []
    compute = computing(clock, {1: 0.01, 2: 0.3}, used)

    def differing(batch: np.ndarray) -> Tensor:
        return compute(batch) + torch.get_num_threads() * 1e-7

    threads = InferenceThreads(KNOWN, 20)
    found = [threads.outputs(differing, BATCH) for _ in range(20)]
    assert used == [1, 2] + [2] * 19
    assert all(torch.equal(each, found[0]) for each in found)


def test_few_batches_and_one_of_another_size_get_all_threads(clock: list[float]) -> None:
    used: list[int] = []
    compute = computing(clock, {1: 0.01, 2: 0.3}, used)
    threads = InferenceThreads(KNOWN, 3)
    for _ in range(3):
        threads.outputs(compute, BATCH)
    threads = InferenceThreads(KNOWN, 20)
    for _ in range(5):
        threads.outputs(compute, BATCH)
    used.clear()
    threads.outputs(compute, BATCH[:2])
    assert used == [2]


class Counting(nn.Module):
    """A layer of a person's own that knows how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.num_calls += 1
        return images.flatten(1) + self.num_calls


def test_a_layer_of_a_persons_own_sees_each_batch_once() -> None:
    images = np.zeros((500 * 9, 1, 1, 2), np.uint8)
    network = nn.Sequential(Counting()).eval()
    found = predict_logits(network, images, mean=(0.0,), std=(1.0,))
    assert np.array_equal(found[::500, 0], np.arange(1, 10))


def test_one_thread_computes_each_batch_once(clock: list[float]) -> None:
    torch.set_num_threads(1)
    used: list[int] = []
    threads = InferenceThreads(KNOWN, 20)
    for _ in range(20):
        threads.outputs(computing(clock, {1: 0.01}, used), BATCH)
    assert used == [1] * 20


def test_logits_are_those_of_all_threads_bit_for_bit() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    images = np.random.default_rng(0).integers(0, 256, (1300, 1, 8, 8), dtype=np.uint8)
    found = predict_logits(network.eval(), images, mean=(0.1,), std=(0.3,))
    parts = [images[i : i + 125] for i in range(0, 1300, 125)]  # too few for a trial
    wanted = [predict_logits(network, part, mean=(0.1,), std=(0.3,)) for part in parts]
    assert np.array_equal(found, np.concatenate(wanted))
