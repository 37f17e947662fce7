"""The number of threads: chosen by time, and only where no bit depends on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.training.thread_choice import AGAIN_AFTER_S, ThreadChoice

QUIET: Callable[[int], float] = {1: 0.003, 2: 0.002}.__getitem__
BUSY: Callable[[int], float] = {1: 0.006, 2: 0.06}.__getitem__


def trained(choice: ThreadChoice, step_s: Callable[[int], float], *, steps: int) -> list[int]:
    """Return the threads of each step, on a machine whose steps take so long."""
    taken = []
    for _ in range(steps):
        taken.append(choice.now)
        choice.saw(step_s(choice.now))
    return taken


@pytest.mark.parametrize(("step_s", "best"), [(QUIET, 2), (BUSY, 1)], ids=["quiet", "busy"])
def test_the_faster_number_is_chosen_within_a_few_dozen_steps(
    step_s: Callable[[int], float], best: int
) -> None:
    choice = ThreadChoice(2)
    trained(choice, step_s, steps=40)
    assert choice.decided
    assert choice.now == best
    assert set(trained(choice, step_s, steps=50)) == {best}
    assert choice.step_s == {1: step_s(1), 2: step_s(2)}


def test_two_hopeless_steps_end_a_trial() -> None:
    assert trained(ThreadChoice(2), lambda n: 0.1 if n == 1 else 0.01, steps=40).count(1) == 4


def test_a_machine_that_becomes_busy_and_quiet_again_is_noticed() -> None:
    choice = ThreadChoice(2)
    trained(choice, QUIET, steps=60)
    trained(choice, BUSY, steps=60)
    assert choice.now == 1
    taken = trained(choice, QUIET, steps=int(AGAIN_AFTER_S / QUIET(1)) + 60)
    assert taken[-1] == 2


def test_a_long_training_spends_little_on_trials() -> None:
    choice = ThreadChoice(2)
    trained(choice, QUIET, steps=60)
    taken = trained(choice, QUIET, steps=20_000)
    assert 0 < taken.count(1) / len(taken) < 0.02


COMPARES = """
import sys
from pathlib import Path
import torch
from pipeline.config import compose
from pipeline.data.store import load_prepared
from pipeline.runs.network import untrained_network
from pipeline.runs.train_once import train_once
from pipeline.training import threads

class Alternating:
    changes = 0
    decided, now, best, most = False, 2, 1, 2
    def __init__(self, most):
        pass
    def saw(self, seconds):
        self.now = 3 - self.now
        Alternating.changes += 1

threads.ThreadChoice = Alternating
if "penalty.l2=0.001" in sys.argv:  # a sum whose last bits depend on the number of threads
    of_weights = threads.penalty
    threads.penalty = lambda *a, **k: of_weights(*a, **k) * (1 + 1e-6 * torch.get_num_threads())
torch.set_num_threads(2)
root = Path(sys.argv[1])

def train(*overrides):
    config = compose(["tracking=none", *sys.argv[2:], *overrides], root=root)
    data = load_prepared(root / "data" / "processed" / "mnist")
    run = train_once(untrained_network(config.settings, data.card, root=root), data, config)
    rows = [{k: v for k, v in r.metrics.items() if k[:5] != "time/"} for r in run.history]
    arrays = {k: v.tobytes() for k, v in run.signals.arrays.items()}
    return {k: v.numpy().tobytes() for k, v in run.network.state_dict().items()}, rows, arrays

auto = train()
changes = Alternating.changes
assert torch.get_num_threads() == 2
one = train("trainer.num_threads=1")
print(changes > 0, *(a == b for a, b in zip(auto, one)))
"""

SIZE = ("data.fraction=0.5", "data.batch_size=64", "trainer.max_epochs=2", "trainer.precision=32")


def compared(project: Path, *overrides: str) -> str:
    """Whether threads were changed; whether weights, history, signals are those of one thread."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    command = [sys.executable, "-c", COMPARES, str(project), *SIZE, *overrides]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("model=mlp", "model.width=256", "model.dropout=0.2"), id="mlp"),
        pytest.param(("model=mlp", "model.width=256", "trainer.gradient_clip_norm=0.1"), id="clip"),
        pytest.param(("model=cnn", "model.width=8", "augment=affine"), id="cnn"),
    ],
)
def test_changes_between_steps_leave_every_bit_as_it_is(
    project: Path, overrides: tuple[str, ...]
) -> None:
    changed, *same = compared(project, *overrides).split()
    if changed == "False":
        pytest.skip("on this processor the bits depend on the number of threads")
    assert same == ["True"] * 3


def test_a_network_whose_bits_depend_on_the_number_keeps_it(project: Path) -> None:
    assert compared(project, "model=mlp", "penalty.l2=0.001").split()[0] == "False"
