"""``pipeline tune-rate``: a known answer, equal answers, and nothing left changed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline import cli
from pipeline.config import compose
from pipeline.data.batches import epoch_seed
from pipeline.data.prepare import take
from pipeline.data.store import load_prepared
from pipeline.errors import ConfigError
from pipeline.models.inference import network_inputs
from pipeline.optim.rate_range import HALVINGS, RATIO
from pipeline.runs.rates import tune_rate
from pipeline.training.forks import training_part

ON_ONE_THREAD = ("trainer.accelerator=cpu", "precision=fp32", "trainer.num_threads=1")
QUICK = (*ON_ONE_THREAD, "model.width=16")
LINEAR = (
    *ON_ONE_THREAD,
    *("model.depth=0", "optimizer=sgd", "optimizer.learning_rate=0.001"),
    *("data.fraction=0.05", "data.batch_size=all"),
    *("loss._target_=own_loss.Squares", "allow_targets=[own_loss]"),
)


def largest_curvature(project: Path) -> float:
    """Of ``Squares`` for a linear network: the top eigenvalue of its inputs' second moments."""
    settings = compose(LINEAR, root=project).settings
    prepared = load_prepared(project / "data/processed/mnist")
    part = training_part(settings, prepared)
    order = np.random.default_rng(epoch_seed(settings.seed, 0)).permutation(len(part))
    images = take(part, np.sort(order)).images
    card = prepared.card
    inputs = network_inputs(images, mean=card.mean, std=card.std).reshape(len(images), -1)
    with_bias = np.hstack([inputs, np.ones((len(inputs), 1))]).astype(np.float64)
    return float(np.linalg.eigvalsh(with_bias.T @ with_bias / len(with_bias)).max())


def test_the_largest_stable_rate_of_a_linear_network_is_two_over_its_curvature(
    project: Path,
) -> None:
    config = compose(LINEAR, root=project)
    found = tune_rate(config, steps=60, root=project, report=print, announce=print).found
    edge, resolution = 2 / largest_curvature(project), RATIO ** (1 / 2**HALVINGS)
    assert found.largest_stable is not None and found.lowest_unstable is not None
    assert found.largest_stable <= edge * 1.03
    assert found.lowest_unstable >= edge / 1.03
    assert found.lowest_unstable / found.largest_stable <= resolution * 1.001


def contents(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


def test_a_seed_gives_one_answer_which_changes_nothing_but_the_picture(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(project)
    words = ["model=mlp", *QUICK, "name=a b", "steps=10", "callbacks=ema", "logger=csv"]
    words[words.index("name=a b")] = "name=a_b"
    answers = []
    for _ in range(2):
        assert cli.call("tune-rate", words) == 0
        printed = capsys.readouterr()
        assert re.search(r"10 to 25 runs of 10 steps, about \d+ s each", printed.err)
        answers.append(printed.out.splitlines())
    assert answers[0] == answers[1]
    *tries, told, command, picture = answers[0]
    assert all(line.startswith(("learning rate ", "stable up to ")) for line in tries)
    assert told.startswith("the settings have 0.001; suggested:")
    assert command.startswith("pipeline train model=mlp ")
    assert "steps=" not in command and " optimizer.learning_rate=" in command
    assert picture == "picture: results/a_b/tune_rate.png"
    after = contents(project)
    assert after.pop("results/a_b/tune_rate.png")
    assert after.pop("data/.composed.json")  # what conf/ composes to, for the next command
    assert after == before


@pytest.mark.parametrize("sign", ["", "++"])
def test_a_rate_that_was_typed_is_replaced(
    sign: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.call("tune-rate", [*QUICK, "steps=5", f"{sign}optimizer.learning_rate=0.01"])
    command = capsys.readouterr().out.splitlines()[-2]
    assert command.count("optimizer.learning_rate=") == 1


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that takes no files")
def test_where_no_picture_can_be_written_none_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "results").symlink_to("/sys")
    cli.call("tune-rate", [*QUICK, "steps=5"])
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("pipeline train ")
    assert "note: the picture was not written" in printed.err


def test_a_network_with_an_optimizer_of_its_own_is_refused(project: Path) -> None:
    own = ["model._target_=own_lightning.Own", "allow_targets=[own_lightning]"]
    with pytest.raises(ConfigError, match=r"has an optimizer of its own"):
        cli.call("tune-rate", own)
