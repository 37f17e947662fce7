"""The number of threads: chosen by time, and only where no bit depends on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pipeline import interruption
from pipeline.data.batches import EpochOrder
from pipeline.training import thread_trials
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
from pipeline.training import thread_trials, threads

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
    of_weights = thread_trials.penalty
    number = torch.get_num_threads
    thread_trials.penalty = lambda *a, **k: of_weights(*a, **k) * (1 + 1e-6 * number())
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


@pytest.mark.parametrize(
    ("images", "sizes"), [(96, [32]), (97, [33, 32]), (98, [32, 2]), (20, [20])]
)
def test_all_sizes_of_batches_are_compared(images: int, sizes: list[int]) -> None:
    order = EpochOrder(torch.arange(images), batch_size=32, seed=0, shuffle=True)
    assert thread_trials.sizes_of(order) == sizes


def test_a_signal_in_a_trial_is_no_fault_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt:
            raise ValueError("cut in the middle") from None

    monkeypatch.setattr(thread_trials, "_Steps", cut)
    monkeypatch.setattr(thread_trials, "_as_before", lambda module: nullcontext())
    with interruption.handled(), pytest.raises(ValueError, match="cut in the middle"):
        thread_trials.compare(2, None, None)  # type: ignore[arg-type]


class _Loader(list[tuple[torch.Tensor, torch.Tensor]]):
    sampler = EpochOrder(torch.arange(8), batch_size=8, seed=0, shuffle=True)


def test_a_trial_takes_the_modes_of_the_training() -> None:
    """A person's own class may keep a part in evaluation mode."""
    frozen, free = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    network = nn.Sequential(frozen.eval(), free, nn.Linear(4, 3))
    module = SimpleNamespace(
        network=network,
        loss=nn.CrossEntropyLoss(),
        make_optimizer=lambda copied: torch.optim.SGD(copied.parameters(), lr=0.1),
        l1=0.0,
        l2=0.0,
    )
    trainer = SimpleNamespace(
        train_dataloader=_Loader([(torch.rand(8, 4), torch.zeros(8, dtype=torch.int64))]),
        precision_plugin=SimpleNamespace(train_step_context=nullcontext),
        gradient_clip_val=None,
    )
    steps = thread_trials._Steps(trainer, module)  # type: ignore[arg-type]
    steps.step(8)
    tried = [int(part.num_batches_tracked) for part in (steps.network[0], steps.network[1])]
    assert tried == [0, 1]
    assert [int(part.num_batches_tracked) for part in (frozen, free)] == [0, 0], "a copy"  # type: ignore[arg-type]


def test_a_network_whose_bits_depend_on_the_number_keeps_it(project: Path) -> None:
    assert compared(project, "model=mlp", "penalty.l2=0.001").split()[0] == "False"


OWN = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.before = nn.Sequential(nn.Conv2d(input_shape[0], 8, 3, padding=1), nn.BatchNorm2d(8))
        self.branch = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.after = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(8 * 16, num_classes)
        )

    def forward(self, images):
        maps = self.before(images)
        return self.after(maps + self.branch(maps))

class Random(Block):
    def forward(self, images):
        logits = super().forward(images)
        if self.training:
            logits = logits * (0.5 + torch.rand(())) + torch.rand(())
        return logits

class Dependent(Block):
    def forward(self, images):
        return super().forward(images) * (1 + 1e-6 * torch.get_num_threads())

class DependentWithFew(nn.Sequential):
    def __init__(self, input_shape, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, num_classes))

    def forward(self, images):
        few = len(images) < 10 and not self.training
        return super().forward(images) * (1 + 1e-6 * few * torch.get_num_threads())

class Uncopied(Block):
    def __deepcopy__(self, memo):
        raise RuntimeError("holds a connection")

class Slow(Block):
    def forward(self, images):
        if self.training:
            import time
            time.sleep(0.6 if torch.get_num_threads() == 1 and Slow.quick < 4 else 0)
            Slow.quick += 1
        return super().forward(images)
    quick = 0
"""


@pytest.mark.parametrize(
    ("own", "chooses"),
    [
        ("Block", True),
        ("Random", True),
        ("Dependent", False),
        ("DependentWithFew", False),
        ("Uncopied", False),
        ("Slow", False),
    ],
)
def test_own_networks_have_a_choice_where_it_changes_no_bit(
    own: str, chooses: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mine.py").write_text(OWN)
    (project / "conf" / "model" / "own.yaml").write_text(f"name: own\n_target_: mine.{own}\n")
    monkeypatch.setenv("PYTHONPATH", str(project))
    own_model = ("model=own", "allow_targets=[mine]", "trainer.sample_size=130")  # 125 and 5
    changed, *same = compared(project, *own_model).split()
    if chooses and changed == "False":
        pytest.skip("on this processor the bits depend on the number of threads")
    assert changed == str(chooses)
    if chooses:
        assert same == ["True"] * 3


KEEPS = """
import sys
from pathlib import Path
import torch
from pipeline.config import compose
from pipeline.data.store import load_prepared
from pipeline.runs.network import untrained_network
from pipeline.runs.train_once import train_once
from pipeline.training import threads
from pipeline.training.checkpoints import ResumeFolder

root, how = Path(sys.argv[1]), sys.argv[2]
quiet, busy, later = {1: 9.0, 2: 9.0}, {1: 1e-6, 2: 1.0}, {1: 1e-6, 2: 1e-6}
tried = {"quiet": [quiet], "busy": [busy], "later": [later, busy]}[how]
threads.FEWEST_STEPS = 1
threads.compare = lambda *a: threads_differ

def seconds_of_steps(numbers, *a, **k):
    now = tried.pop(0)
    return {number: now[number] for number in numbers}

threads.seconds_of_steps = seconds_of_steps
threads_differ = type("", (), {"same_bits": False, "step_s": busy})
torch.set_num_threads(2)

class Killed(Exception):
    pass

def kill(record):
    if record.epoch == 2:
        raise Killed

def train(*overrides, observers=(), resume=None):
    config = compose(["tracking=none", *sys.argv[3:], *overrides], root=root)
    data = load_prepared(root / "data" / "processed" / "mnist")
    network = untrained_network(config.settings, data.card, root=root)
    run = train_once(network, data, config, observers=observers, resume=resume)
    weights = {k: v.numpy().tobytes() for k, v in run.network.state_dict().items()}
    return weights, run.summary.num_threads, run.summary.one_thread_from

auto, number, changed = train()
assert torch.get_num_threads() == 2
print(number, changed)
if how == "later":
    tried += [later, busy, busy]
    try:
        train(observers=[kill], resume=ResumeFolder(root / "checkpoints", "a"))
    except Killed:
        pass
    resumed = train(resume=ResumeFolder(root / "checkpoints", "a"))
    print(resumed == (auto, number, changed), len(tried))
else:
    print(train(f"trainer.num_threads={number}")[0] == auto)
"""


@pytest.mark.parametrize(
    ("how", "chosen", "then"),
    [
        ("quiet", "2 None", "True"),
        ("busy", "1 None", "True"),
        # One trial of the resumed run is left: what it keeps is in its checkpoint.
        ("later", "1 1", "True 1"),
    ],
)
def test_where_bits_depend_on_the_number_it_is_kept_and_recorded(
    how: str, chosen: str, then: str, project: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    small = ("model=cnn", "model.width=4", *SIZE[:2], "trainer.max_epochs=4")
    command = [sys.executable, "-c", KEEPS, str(project), how, *small]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [chosen, then]
