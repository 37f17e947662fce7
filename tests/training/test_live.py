"""The line of a running training: in one's own Lightning module, and in the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from own_module import OwnModule, dense, silent_trainer
from pipeline import cli
from pipeline.diagnosis.live import Alarm, LiveJudge
from pipeline.records import EpochRecord
from pipeline.training import live
from pipeline.training.live import LiveVerdict
from pipeline.training.signals import Signals

LINE = re.compile(r"^epoch \d+: .*\(0\.\d\d\)", re.MULTILINE)


def clusters(num: int, *, seed: int, labels: str) -> TensorDataset:
    """Two clusters; the labels are theirs, or thrown."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.arange(num) % 2
    images = torch.randn((num, 1, 4, 4), generator=generator) + truth.view(-1, 1, 1, 1)
    thrown = torch.randint(0, 2, (num,), generator=generator)
    return TensorDataset(images, truth if labels == "true" else thrown)


class AdamModule(OwnModule):
    """As `OwnModule`, with Adam."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


def trained(
    folder: Path, *, labels: str, width: int, epochs: int, is_live: bool = True, num: int = 80
) -> dict[str, Tensor]:
    """Train with signals; return the weights."""
    torch.manual_seed(0)
    network = dense(16, width, 2, activation=nn.ReLU)
    signals = Signals(live=is_live, write=False)
    trainer = silent_trainer(folder, [signals], epochs=epochs)
    loaders = (
        DataLoader(clusters(num, seed=1, labels=labels), batch_size=16, shuffle=True),
        DataLoader(clusters(300, seed=2, labels=labels), batch_size=300),
    )
    trainer.fit(AdamModule(network, learning_rate=0.005), *loaders)
    return {name: w.detach().clone() for name, w in network.state_dict().items()}


def test_a_network_that_learns_thrown_labels_by_heart_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, labels="thrown", width=128, epochs=40)
    lines = LINE.findall(capsys.readouterr().out)
    assert any("overfitting" in line or "fails on new data" in line for line in lines), lines
    assert len(lines) == len(set(lines)) <= 3


def test_a_network_that_learns_what_holds_is_not_alarmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, labels="true", width=4, epochs=12, num=2000)
    assert LINE.findall(capsys.readouterr().out) == []


def test_judging_prints_nothing_unless_it_is_asked_for_and_changes_no_weight(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without = trained(tmp_path, labels="thrown", width=128, epochs=15, is_live=False)
    assert LINE.findall(capsys.readouterr().out) == []
    with_line = trained(tmp_path, labels="thrown", width=128, epochs=15)
    assert all(torch.equal(without[name], with_line[name]) for name in without)


class Alarming(LiveJudge):
    """Alarms at every fifth epoch."""

    def see(self, history: object) -> list[Alarm]:
        seen, self.points = self.points, len(history.epochs)  # type: ignore[attr-defined]
        return [
            Alarm(epoch, 1, "unstable", 0.95, "learning_rate_too_high", 0.95)
            for epoch in range(seen + 1, self.points + 1)
            if epoch % 5 == 0
        ]


@pytest.fixture
def alarming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LiveJudge", Alarming)


def test_what_a_killed_process_has_said_is_not_said_again(alarming: None) -> None:
    rows = [EpochRecord(e, e, {"train/loss": 1.0, "val/loss": 1.0}) for e in range(10)]
    told: list[str] = []
    LiveVerdict(told.append, num_classes=2, resumed_from=7).see(rows)
    assert told == ["epoch 10: learning rate too high since epoch 1 (0.95)"]


TRAIN = (
    *("name=tiny", "model.width=4", "trainer.max_epochs=5", "tracking=none"),
    *("trainer.accelerator=cpu", "data.fraction=0.2", "signals=none"),
)


@pytest.mark.parametrize(
    ("more", "count"), [((), 1), (("signals.live=false",), 0)], ids=["default", "off"]
)
def test_a_training_of_the_project_says_it_unless_it_is_turned_off(
    project: Path, alarming: None, capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...], count: int,
) -> None:  # fmt: skip
    cli.call("train", [*TRAIN, *more])
    printed = capsys.readouterr().out
    assert len(LINE.findall(printed)) == count
    if count:  # after the line of the epoch itself
        assert printed.index("epoch 5/5") < printed.index("epoch 5: learning rate too high")


def test_a_trial_of_a_sweep_says_nothing(
    project: Path, alarming: None, capfd: pytest.CaptureFixture[str]
) -> None:
    cli.call("train", ["-m", *TRAIN, "model.dropout=0.0,0.1"])
    captured = capfd.readouterr()
    assert LINE.findall(captured.out + captured.err) == []
