"""benchmarks/time_to.py: the bare script is the preset's twin, and its short form runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.config import compose
from pipeline.data.store import load_card
from pipeline.optim.schedules import one_cycle
from pipeline.runs.network import untrained_network

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bare_fast_cnn

TIME_TO = Path(bare_fast_cnn.__file__).with_name("time_to.py")


def test_the_bare_script_has_the_network_of_the_preset(project: Path) -> None:
    settings = compose(["experiment=fast_cnn"], root=project).settings
    assert settings.init.name == "default"  # as torch makes the layers of the script
    card = load_card(project / "data" / "processed" / "mnist")
    network, bare = untrained_network(settings, card, root=project), bare_fast_cnn.network()
    ours, theirs = (list(each.state_dict().values()) for each in (network, bare))
    assert [value.shape for value in ours] == [value.shape for value in theirs]
    assert (card.mean[0], card.std[0]) == pytest.approx(
        (bare_fast_cnn.MEAN, bare_fast_cnn.STD),
        abs=0.01,  # the small set's own
    )
    names = dict(zip(bare.state_dict(), ours, strict=True))
    bare.load_state_dict(names)
    images = torch.rand(4, 1, 28, 28)
    torch.testing.assert_close(bare.eval()(images), network.eval()(images))


def test_the_bare_script_has_the_schedule_of_the_preset(project: Path) -> None:
    settings = compose(["experiment=fast_cnn"], root=project).settings
    options = dict(settings.schedule)
    assert options.pop("name") == "onecycle"
    for step in range(100):
        expected = one_cycle(step, num_steps=100, **options)
        assert bare_fast_cnn.factor(step, 100) == pytest.approx(expected)
    assert settings.optimizer.arguments()["learning_rate"] == bare_fast_cnn.PEAK_RATE
    assert settings.optimizer.target == "torch.optim.Adam"
    assert settings.optimizer.arguments()["weight_decay"] == 0
    batch, epochs = settings.data.batch_size, settings.trainer.max_epochs
    assert (batch, epochs) == (bare_fast_cnn.BATCH, bare_fast_cnn.EPOCHS)


@pytest.mark.slow
def test_the_short_form_races_both_and_checks_the_record(project: Path) -> None:
    line = [sys.executable, str(TIME_TO), "--seeds", "1"]
    done = subprocess.run(
        [*line, "--project", str(project), "--threads", "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = re.findall(r"\| 0 \| ([\d.]+)%, ([\d.]+)% \| ([\d.]+), ([\d.]+) \|", done.stdout)
    accuracy, bare_accuracy, seconds, bare_seconds = map(float, row)
    assert min(accuracy, bare_accuracy) > 50  # 2,000 images, two epochs
    assert seconds > 1 and bare_seconds > 1
    assert "time to 99.0%, from the shell: not reached" in done.stdout
