"""Judging a running training: when it speaks, what it says, and when it stays silent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.diagnosis import History
from pipeline.diagnosis.learned.model import fitted
from pipeline.diagnosis.learned.numbers import NAMES, Curves
from pipeline.diagnosis.live import Alarm, LiveJudge
from pipeline.diagnosis.live.fast import fast_model
from pipeline.diagnosis.live.growing import GrowingLog
from pipeline.diagnosis.live.judge import (
    EVERY_POINT,
    LEAST_POINTS,
    Look,
    looks,
    strongest,
    up_to,
)
from pipeline.diagnosis.live.limits import measured_limits, weights_hash
from pipeline.diagnosis.readers import read_log
from pipeline.diagnosis.record import FAMILIES
from pipeline.errors import DataError

ANYTHING = {"fits_and_fails": 0.0, "does_not_fit": 0.0, "unstable": 0.0}
BEST = 10  # 0-based epoch of the lowest validation loss


def rising(count: int = 40) -> dict[str, np.ndarray]:
    epochs = np.arange(count)
    train = 1.8 * np.exp(-0.25 * epochs) + 0.02
    val = 1.8 * np.exp(-0.25 * np.minimum(epochs, BEST)) + 0.25
    return {"train/loss": train, "val/loss": val + 0.08 * np.maximum(epochs - BEST, 0)}


def healthy(count: int = 40) -> dict[str, np.ndarray]:
    """Both losses fall together, and come to rest at nearly the same level."""
    epochs, noise = np.arange(count), np.random.default_rng(0).normal(size=(2, count))
    train = (0.1 + 2.2 * np.exp(-0.3 * epochs)) * np.exp(0.005 * noise[0])
    val = (0.12 + 2.1 * np.exp(-0.3 * epochs)) * np.exp(0.01 * noise[1])
    return {
        "train/loss": train,
        "val/loss": val,
        "train/accuracy": 1 - train / 2.6,
        "val/accuracy": 1 - val / 2.6,
    }


def history(curves: dict[str, np.ndarray], count: int | None = None) -> History:
    cut = {name: values[:count] for name, values in curves.items()}
    length = len(next(iter(cut.values())))
    return History(np.arange(length), cut)


def by_epoch(curves: dict[str, np.ndarray], judge: LiveJudge | None = None) -> list[Alarm]:
    """Every alarm of a training that is seen after each epoch."""
    judge, length = judge or LiveJudge(), len(next(iter(curves.values())))
    return [a for n in range(1, length + 1) for a in judge.see(history(curves, n))]


def test_overfitting_is_told_once_with_the_epoch_of_the_lowest_validation_loss() -> None:
    alarms = [a for a in by_epoch(rising()) if a.family == "fits_and_fails"]
    assert len(alarms) == 1
    assert alarms[0].since == BEST + 1 < alarms[0].epoch < 40
    limit = measured_limits().by_family["fits_and_fails"]
    assert limit <= alarms[0].confidence <= 1


def test_a_validation_loss_that_begins_late_does_not_stop_the_look() -> None:
    """So far there are accuracies alone, and they are enough for the model to speak."""
    curves = Curves(val_loss=np.array([*[np.nan] * 8, 1.0]), val_accuracy=np.linspace(0.7, 0.4, 9))
    judge, certain = LiveJudge({**ANYTHING}), {("fits_and_fails", "overfitting"): 1.0}
    seen = [list(judge._judged(Look(n, certain, False), curves, np.arange(1, 10))) for n in (6, 7)]
    assert [[(a.since, a.epoch) for a in alarms] for alarms in seen] == [[], [(6, 7)]]


def test_a_healthy_training_is_never_alarmed() -> None:
    assert by_epoch(healthy()) == []


def test_a_training_that_still_falls_is_never_alarmed_as_stopped_too_early() -> None:
    judge = LiveJudge({**ANYTHING})
    falling = {name: np.exp(-0.02 * np.arange(12)) + 1 for name in ("train/loss", "val/loss")}
    assert all(a.family != "stopped_too_early" for a in by_epoch(falling, judge))


def test_all_epochs_at_once_give_the_alarms_of_one_after_the_other() -> None:
    assert LiveJudge().see(history(rising())) == by_epoch(rising())


def test_nothing_is_told_before_the_fourth_epoch_and_two_looks() -> None:
    alarms = by_epoch(rising(), LiveJudge(ANYTHING))
    assert min(a.epoch for a in alarms) >= LEAST_POINTS + 1


def test_no_family_is_told_twice() -> None:
    families = [a.family for a in by_epoch(rising(200), LiveJudge(ANYTHING))]
    assert len(families) == len(set(families))


@pytest.mark.parametrize("lost", [np.inf, np.nan])
@pytest.mark.parametrize("start", [1, 2, 10])
def test_a_lost_loss_is_told_at_once_whatever_the_limits(start: int, lost: float) -> None:
    curves = healthy(12)
    curves["train/loss"][start - 1 :] = curves["val/loss"][start - 1 :] = lost
    alarms = by_epoch(curves, LiveJudge(dict.fromkeys(ANYTHING, 1.1)))
    verdict = "undetermined" if start == 1 else "learning_rate_too_high"
    assert [(a.epoch, a.family, a.verdict) for a in alarms] == [(start, "unstable", verdict)]


def test_a_loss_that_was_never_finite_is_told_in_words() -> None:
    (alarm,) = LiveJudge().see(history({"train/loss": np.full(1, np.nan)}))
    assert alarm.line.startswith("epoch 1: its training is unstable (0.9")
    assert alarm.line.endswith("no loss was ever a finite number")


@pytest.mark.parametrize("part", ["train", "val"])
def test_one_loss_that_is_lost_beside_a_finite_one_is_no_alarm(part: str) -> None:
    curves = healthy(30)
    curves[f"{part}/loss"][9:] = np.inf
    assert by_epoch(curves, LiveJudge(dict.fromkeys(ANYTHING, 1.1))) == []


def test_without_validation_only_a_lost_loss_is_told() -> None:
    still = np.full(30, 2.3)
    assert by_epoch({"train/loss": still, "val/loss": still}, LiveJudge(ANYTHING)) != []
    judge = LiveJudge(ANYTHING)
    assert judge.see(history({"train/loss": still})) == []
    assert judge.see(history({"train/loss": np.append(still, 1e6)})) == []
    lost = {"train/loss": np.append(still, [1e6, np.inf])}
    assert [a.family for a in judge.see(history(lost))] == ["unstable"]


def test_the_points_that_are_looked_at_grow_apart_in_a_long_run() -> None:
    long = rising(400)
    curves = Curves(train_loss=long["train/loss"], val_loss=long["val/loss"])
    points = [look.points for look in looks(curves, 400)]
    assert points[:3] == [4, 5, 6] and EVERY_POINT in points
    late = [p for p in points if p > EVERY_POINT]
    assert all(later / earlier >= 1.05 for earlier, later in itertools.pairwise(late))
    assert late[-1] > 375
    # Seen in two parts, the points are the same.
    rest = looks(curves, 400, after=100, last=max(p for p in points if p <= 100))
    assert [look.points for look in rest] == [p for p in points if p > 100]


def test_later_epochs_do_not_change_an_earlier_look() -> None:
    long, short = rising(30), rising(20)
    curves = Curves(train_loss=long["train/loss"], val_loss=long["val/loss"])
    cut = up_to(curves, 20)
    np.testing.assert_array_equal(cut.val_loss, short["val/loss"])
    assert list(looks(curves, 30))[:17] == list(looks(cut, 20))


@pytest.mark.parametrize(
    ("alarm", "line"),
    [
        (Alarm(7, 4, "fits_and_fails", 0.97, "overfitting", 0.9),
         "epoch 7: overfitting since epoch 4 (0.97)"),
        (Alarm(7, 7, "unstable", 0.95, "learning_rate_too_high", 0.95),
         "epoch 7: learning rate too high (0.95)"),
        (Alarm(9, 5, "does_not_fit", 0.9, "underfitting", 0.5),
         "epoch 9: it does not fit its training data since epoch 5 (0.90), "
         "most likely underfitting (0.50)"),
    ],
)  # fmt: skip
def test_an_alarm_is_one_line(alarm: Alarm, line: str) -> None:
    assert alarm.line == line


def look(points: int, *, lost: bool = False, **probabilities: float) -> Look:
    classes = {(FAMILIES[verdict], verdict): p for verdict, p in probabilities.items()}
    rest = 1 - sum(probabilities.values())
    return Look(points, {("healthy", "healthy"): rest, **classes}, lost)


@pytest.mark.parametrize(
    ("found", "strength"),
    [
        ([look(4, overfitting=0.9)], 0.0),  # one look is not enough
        ([look(4, overfitting=0.9), look(5, overfitting=0.7)], 0.7),
        ([look(4, overfitting=0.9), look(5, overfitting=0.1), look(6, overfitting=0.9)], 0.0),
        ([look(4, overfitting=0.6), look(5, label_noise=0.8), look(6, overfitting=0.7)], 0.7),
        ([look(4, overfitting=0.9), look(5, underfitting=0.9)], 0.0),
    ],
)
def test_the_strength_of_a_run_is_its_weaker_of_two_looks(
    found: Sequence[Look], strength: float
) -> None:
    assert strongest(found)["fits_and_fails"] == pytest.approx(strength)
    assert strongest([*found, look(9, lost=True)])["unstable"] == 1.0


def test_a_run_that_does_not_fit_counts_as_far_as_it_learned_nothing() -> None:
    """No log tells how low its loss could go: the data may allow no more."""
    assert look(4, underfitting=0.7, not_learning=0.2).alarm == ("does_not_fit", 0.2)
    assert look(4, underfitting=0.95).alarm == ("does_not_fit", 0.0)
    assert look(4, overfitting=0.8).alarm == ("fits_and_fails", 0.8)


@pytest.mark.parametrize(("examples", "alarmed"), [(14, False), (300, True)])
def test_few_validation_examples_never_show_overfitting(examples: int, alarmed: bool) -> None:
    """Their accuracy has steps of 1 / 14, and their loss rises by luck."""
    accuracy = 0.7 + 0.2 * (1 - np.exp(-0.3 * np.arange(40))) + 0.01 * np.sin(np.arange(40))
    curves = rising() | {"val/accuracy": np.round(accuracy * examples) / examples}
    assert ("fits_and_fails" in [a.family for a in by_epoch(curves)]) is alarmed


@pytest.mark.parametrize("loss", [np.zeros(20), np.tile([0.0, 1e-4], 10)], ids=["0", "rounded"])
@pytest.mark.parametrize("parts", [("train", "val"), ("val",)])
def test_a_log_without_any_error_is_never_alarmed(loss: np.ndarray, parts: Sequence[str]) -> None:
    curves = {f"{part}/loss": loss for part in parts}
    curves |= {f"{part}/accuracy": np.ones(20) for part in parts}
    assert by_epoch(curves, LiveJudge({**ANYTHING})) == []


def test_the_limits_are_of_the_weights_that_are_shipped() -> None:
    limits = measured_limits()
    assert limits.weights == weights_hash(), "run python benchmarks/curves/live.py"
    assert set(limits.by_family) == set(ANYTHING)
    assert limits.runs >= 300 and limits.alarms <= limits.rate * limits.runs


def test_the_model_in_arrays_gives_the_probabilities_of_the_model() -> None:
    dice = np.random.default_rng(0)
    for _ in range(50):
        found = {name: float(3 * dice.normal()) for name in NAMES}
        found |= dict.fromkeys(dice.choice(NAMES, size=12), float("nan"))
        expected = fitted().judge(found).classes
        told = fast_model().probabilities(found)
        assert told == pytest.approx(expected, abs=1e-12)
    knots = {name: term.knots[0] for name, term in fitted().terms.items()}
    found = {name: knots.get(name, float("nan")) for name in NAMES}  # on a knot itself
    expected = fitted().judge(found).classes
    assert fast_model().probabilities(found) == pytest.approx(expected, abs=1e-12)


# --- a log that another program writes -----------------------------------------------------------


def growing(path: Path) -> GrowingLog:
    return GrowingLog(path, lambda each: read_log(each).history)


def test_a_half_written_last_line_is_left_out_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = growing(path)
    assert not log.changed() and log.so_far() is None
    path.write_text("epoch,loss,val_loss\n0,1.0,1.1\n1,0.5,0.9\n2,0.25,0.")
    assert log.changed() and not log.changed()
    so_far = log.so_far()
    assert so_far is not None
    np.testing.assert_array_equal(so_far.curves["val/loss"], [1.1, 0.9])
    path.write_text(path.read_text() + "8\n")
    assert log.changed()
    so_far = log.so_far()
    assert so_far is not None and so_far.name == "log.csv"
    np.testing.assert_array_equal(so_far.curves["val/loss"], [1.1, 0.9, 0.8])


def test_json_in_one_piece_is_read_whole_and_damaged_json_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    text = '{"loss": [1.0, 0.5, 0.2], "val_loss": [1.0, 0.6, 0.4]}'
    path.write_text(text[:20])
    log = growing(path)
    assert log.so_far() is None
    with pytest.raises(DataError):
        log.read(path)
    path.write_text(text)
    so_far = log.so_far()
    assert so_far is not None and len(so_far.epochs) == 3


def test_the_folder_of_a_run_changes_with_its_files(tmp_path: Path) -> None:
    log = growing(tmp_path)
    assert not log.changed() and log.so_far() is None
    (tmp_path / "metrics.csv").write_text(
        "epoch,train_loss,val_loss\n0,1,1\n1,0.5,0.6\n2,0.4,0.5\n"
    )
    assert log.changed()
    so_far = log.so_far()
    assert so_far is not None and len(so_far.epochs) == 3
