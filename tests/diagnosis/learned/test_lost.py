"""A loss that stopped being a number: the verdict, the family, and the words."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.fail_on import certain
from pipeline.diagnosis import Diagnosis, History, diagnose
from pipeline.diagnosis.learned.facts import guarded, guarded_at_end
from pipeline.diagnosis.learned.lost import advice, in_words, is_lost, lost_losses, marked
from pipeline.diagnosis.learned.model import Judged
from pipeline.diagnosis.learned.numbers import Curves, numbers
from pipeline.diagnosis.readers import read_log
from pipeline.reporting import diagnosis_text
from pipeline.reporting.console import Console

NAN, INF = math.nan, math.inf
HIGH, OPEN = "learning_rate_too_high", "undetermined"
# name → rows of a log, the verdict, the family, and how its first evidence begins.
LOGS = {
    "after_one_epoch": (
        "epoch,loss,val_loss,accuracy,val_accuracy\n1,2.2,nan,0.12,0.1\n2,nan,nan,0.1,0.1\n"
        "3,nan,nan,0.1,0.1\n4,nan,nan,0.1,0.1\n",
        HIGH, "unstable", "The training loss is no finite number from epoch 2 on",
    ),
    "at_the_last_epoch": (
        "epoch,loss,val_loss\n1,1.2,1.1\n2,0.9,0.9\n3,0.7,0.8\n4,nan,nan\n",
        HIGH, "unstable", "No loss is a finite number from epoch 4 on.",
    ),
    "never_finite": (
        "epoch,loss,val_loss,accuracy\n1,nan,nan,0.3\n2,nan,nan,0.1\n3,nan,nan,0.1\n4,nan,nan,0.1\n",
        OPEN, "unstable", "",
    ),
    "infinite": (
        "epoch,loss,val_loss\n1,1.2,8.1\n2,900,inf\n3,inf,inf\n4,inf,inf\n",
        HIGH, "unstable", "The training loss is no finite number from epoch 3 on",
    ),
    "training_alone": (
        "epoch,loss\n1,1.2\n2,3.9\n3,nan\n4,nan\n",
        HIGH, "unstable", "The training loss is no finite number from epoch 3 on.",
    ),
    "steps": (
        "step,loss\n10,1.2\n20,3.9\n30,nan\n40,nan\n",
        HIGH, "unstable", "The training loss is no finite number from point 3 on.",
    ),
    "validation_alone_is_lost": (
        "epoch,loss,val_loss\n1,1.2,1.1\n2,0.9,nan\n3,0.7,nan\n4,0.6,nan\n5,0.55,nan\n",
        None, None, "The validation loss is no finite number from epoch 2 on.",
    ),
    "validation_never_was_finite": (
        "epoch,loss,val_loss\n1,1.2,nan\n2,0.9,nan\n3,0.7,nan\n4,0.6,nan\n",
        OPEN, "", "The validation loss was never a finite number.",
    ),
    "lost_and_back": (
        "epoch,loss,val_loss\n1,1.2,1.1\n2,nan,0.95\n3,0.7,0.9\n4,0.6,0.8\n5,0.55,0.7\n6,0.5,0.6\n",
        None, None, "The training loss is no finite number at epoch 2, and one again after it.",
    ),
}  # fmt: skip


def read(rows: str, folder: Path) -> Diagnosis:
    path = folder / "log.csv"
    path.write_text(rows)
    return diagnose(read_log(path).history)


@pytest.mark.parametrize("name", list(LOGS))
def test_a_log_says_first_which_loss_was_lost(name: str, tmp_path: Path) -> None:
    rows, verdict, family, evidence = LOGS[name]
    found = read(rows, tmp_path)
    if verdict is not None:
        assert (found.verdict, found.family) == (verdict, family)
        assert found.family_confidence >= (0.9 if family else 0)
    else:
        assert found.family != "unstable" or found.family_confidence < 0.9
    if evidence:
        assert found.evidence[0].words.startswith(evidence)
        assert all(each.evidence[0] == found.evidence[0] for each in found.findings)
    assert not any("at its lowest" in each.words for each in found.evidence if verdict == HIGH)


def test_an_open_fault_of_a_certain_family_is_shown_and_counts(tmp_path: Path) -> None:
    found = read(LOGS["never_finite"][0], tmp_path)
    assert certain(found) == {"any": found.family_confidence, "unstable": found.family_confidence}
    assert found.in_words == "undetermined (its training is unstable)"
    shown = Console(width=100)
    with shown.capture() as printed:
        diagnosis_text.show(found, commands={}, console=shown)
    text = " ".join(printed.get().split())
    assert "Its training is unstable (0.95). no loss was ever a finite number" in text
    assert "Also possible: learning rate too high (0.50)" in text


FINITE = st.floats(0.01, 50)


@given(
    before=st.lists(st.tuples(FINITE, FINITE), max_size=8),
    lost=st.lists(st.sampled_from([(NAN, NAN), (INF, NAN), (NAN, INF), (INF, INF)]), min_size=1,
                  max_size=6),
    accuracy=st.booleans(),
)  # fmt: skip
def test_whatever_came_before_a_run_whose_losses_end_lost_is_unstable(
    before: list[tuple[float, float]], lost: list[tuple[float, float]], accuracy: bool
) -> None:
    train, val = np.array([*before, *lost], dtype=np.float64).T
    curves = {"train/loss": train, "val/loss": val}
    if accuracy:
        curves["val/accuracy"] = np.full(len(train), 0.1)
    found = diagnose(History(np.arange(len(train)), curves))
    assert found.family == "unstable"
    assert found.verdict == (HIGH if before else OPEN)
    assert [each.key for each in found.evidence[:1]] == (["lost"] if before else [])


def test_a_lost_loss_outweighs_curves_that_end_where_they_began() -> None:
    """One finite point has no fall, and the accuracies stay at chance."""
    flat = np.array([2.2, INF, INF, INF])
    found = numbers(Curves(flat, flat, val_accuracy=np.full(4, 0.1)))
    sure = Judged({("does_not_fit", "not_learning"): 0.9, ("unstable", HIGH): 0.1}, {}, 0.0)
    for guard in (guarded, guarded_at_end):
        assert guard(sure, found).families["unstable"] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("train", "val", "lost"),
    [
        ([1, 2, INF], [1, 2, INF], True),
        ([1, 2, INF], None, True),
        ([1, 2, INF], [1, 2, 3], False),  # validation measured the same weights
        ([1, 2, INF], [1, 2, NAN], True),  # no validation since
        ([1, 2, 3], [1, INF, INF], False),  # training went on
        ([1, 2, 3], [1, 2, INF], False),  # nobody knows yet
        ([1, INF, 3], [1, INF, 3], False),
        ([INF, INF], [INF, INF], True),
        ([INF, INF], [2, 1], False),
    ],
)
def test_a_finite_loss_since_shows_that_the_weights_are_numbers(
    train: list[float], val: list[float] | None, lost: bool
) -> None:
    losses = {"train": np.array(train, float)}
    if val is not None:
        losses["val"] = np.array(val, float)
    assert is_lost(losses) is lost
    assert bool(advice(losses)) == (not lost and any(not e.back for e in lost_losses(losses)))


@pytest.mark.parametrize(
    ("train", "val", "infinite"),
    [
        ([1, NAN, NAN], [1, NAN, NAN], 2),
        ([1, 1, NAN], [1, NAN, NAN], 1),  # validation may not have been logged at the second
        ([1, 1, 1], [1, NAN, NAN], 0),
        ([1, NAN, NAN, 1, NAN, NAN], [NAN] * 2 + [1] + [NAN] * 3, 2),  # twice as long as before
        ([1, NAN, 1, NAN], [1, NAN, 1, NAN], 0),  # every second epoch
        ([NAN, NAN], [NAN, NAN], 2),
    ],
)  # fmt: skip
def test_nan_up_to_the_end_is_lost_where_no_loss_is_a_number(
    train: list[float], val: list[float], infinite: int
) -> None:
    found = marked({"train": np.array(train, float), "val": np.array(val, float)})
    assert int(np.isinf(found["train"]).sum()) == infinite


def test_the_words_name_the_epochs_of_the_log() -> None:
    losses = {"train": np.array([2.0, 1.0, INF]), "val": np.array([2.0, INF, INF])}
    assert in_words(losses, [10, 20, 30], unit="epoch") == [
        "The training loss is no finite number from epoch 30 on and the validation loss is no "
        "finite number from epoch 20 on.",
        "Before that, the training loss had fallen from 2 to 1.",
    ]
