"""Metrics against scikit-learn, closed forms and cases worked out by hand."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from pipeline import evaluation
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation import flatten, top_class, worst_mistakes
from pipeline.evaluation.intervals import (
    calibration_error_interval,
    percentile,
    resampled_sums,
    wilson,
    wilson_f1,
)
from pipeline.evaluation.scores import calibration_bins, expected_calibration_error, log_softmax

TEN = [f"c{i}" for i in range(10)]
evaluate = partial(evaluation.evaluate, num_resamples=1000)


def noisy(
    n: int, *, k: int = 10, seed: int = 0, scale: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(k, size=n)
    return generator.normal(size=(n, k)) + scale * np.eye(k)[labels], labels


@pytest.mark.parametrize("k", [2, 3, 10], ids="k={}".format)
def test_scores_agree_with_scikit_learn(k: int) -> None:
    logits, labels = noisy(500, k=k)
    result = evaluate(logits, labels, class_names=TEN[:k])
    predictions = logits.argmax(axis=1)
    each = precision_recall_fscore_support(labels, predictions, labels=range(k), zero_division=0)
    macro = precision_recall_fscore_support(
        labels, predictions, labels=range(k), average="macro", zero_division=0
    )
    for name, expected in zip(("precision", "recall", "f1"), each[:3], strict=True):
        assert [getattr(c, name).value for c in result.per_class] == pytest.approx(
            expected, abs=1e-12
        )
    assert [c.support for c in result.per_class] == each[3].tolist()
    measured = [result.precision_macro.value, result.recall_macro.value, result.f1_macro.value]
    assert measured == pytest.approx(macro[:3], abs=1e-12)
    assert (result.confusion == confusion_matrix(labels, predictions)).all()
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert result.cross_entropy.value == pytest.approx(log_loss(labels, probabilities), rel=1e-12)
    assert result.accuracy.value == pytest.approx((predictions == labels).mean())
    assert result.brier.value == pytest.approx(
        ((probabilities - np.eye(k)[labels]) ** 2).sum() / 500
    )


def test_worked_by_hand() -> None:
    # Two classes, probabilities 3/4 and 1/4: right twice, wrong once; "b" is predicted once
    three = np.log(3.0)
    logits = np.array([[three, 0.0], [0.0, three], [three, 0.0]])
    result = evaluate(logits, np.array([0, 1, 1]), class_names=["a", "b"])
    a, b = result.per_class
    assert result.confusion.tolist() == [[1, 0], [1, 1]]
    assert (a.precision.value, a.recall.value, a.f1.value) == pytest.approx((1 / 2, 1, 2 / 3))
    assert (b.precision.value, b.recall.value, b.f1.value) == pytest.approx((1, 1 / 2, 2 / 3))
    assert result.cross_entropy.value == pytest.approx((2 * np.log(4 / 3) + np.log(4)) / 3)
    assert result.brier.value == pytest.approx((2 * 2 / 16 + 2 * 9 / 16) / 3)
    assert result.calibration_error.value == pytest.approx(3 / 4 - 2 / 3)
    (only,) = result.calibration_bins
    assert (only.low, only.high, only.count) == (11 / 15, 12 / 15, 3)


def test_a_class_that_never_occurs_scores_zero_and_says_it_knows_nothing() -> None:
    result = evaluate(np.eye(3)[[0, 1, 1]] * 5, np.array([0, 1, 1]), class_names=["a", "b", "c"])
    never = result.per_class[2]
    for estimate in (never.precision, never.recall, never.f1):
        assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0, 0, 1, 0)
    assert result.f1_macro.value == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e300], ids=str)
def test_huge_logits_stay_finite(size: float) -> None:
    result = evaluate(
        np.array([[size, 0.0], [0.0, size]]), np.array([0, 0]), class_names=["a", "b"]
    )
    wrong = abs(size)
    assert result.cross_entropy.value == pytest.approx(wrong / 2)
    assert result.brier.value == pytest.approx(1.0)


def test_a_constant_added_to_the_logits_changes_nothing() -> None:
    logits, _ = noisy(20)
    np.testing.assert_allclose(log_softmax(logits + 1000.0), log_softmax(logits), atol=1e-11)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.277533),  # z² / (n + z²)
        (10, 10, 0.722467, 1.0),
        (5, 10, 0.236593, 0.763407),
        # Newcombe, Statistics in Medicine 17, 1998, table I (0.2553, 0.3662)
        (81, 263, 0.255310, 0.366185),
    ],
)
def test_wilson(hits: int, n: int, low: float, high: float) -> None:
    result = wilson(hits, n)
    assert (result.low, result.high) == pytest.approx((low, high), abs=5e-5)
    assert 0 <= result.low <= result.value <= result.high <= 1


@pytest.mark.parametrize(("hits", "n"), [(3, 17), (990, 1000)])
def test_the_ends_of_wilson_solve_its_equation(hits: int, n: int) -> None:
    result = wilson(hits, n)
    for end in (result.low, result.high):
        assert abs(result.value - end) == pytest.approx(
            1.959963985 * np.sqrt(end * (1 - end) / n), rel=1e-8
        )


def test_wilson_covers_as_it_says() -> None:
    hits = np.random.default_rng(0).binomial(200, 0.97, size=2000)
    inside = [wilson(int(h), 200).low <= 0.97 <= wilson(int(h), 200).high for h in hits]
    assert 0.93 < np.mean(inside) < 0.975  # 0.5 % is the standard error of this simulation


def test_f1_interval_covers_as_it_says() -> None:
    # A class of 40 % found with recall 0.9; 5 % of the others are taken for it.
    hit, miss, false = 0.36, 0.04, 0.03
    truth = 2 * hit / (2 * hit + miss + false)
    counts = np.random.default_rng(1).multinomial(
        300, [hit, miss, false, 1 - hit - miss - false], size=2000
    )
    inside = []
    for hits, misses, falses, _ in counts.tolist():
        result = wilson_f1(hits, predicted=hits + falses, support=hits + misses)
        inside.append(result.low <= truth <= result.high)
    assert 0.93 < np.mean(inside) < 0.975


def test_bootstrap_covers_a_mean_and_has_its_standard_error() -> None:
    generator = np.random.default_rng(2)
    inside, widths = [], []
    for seed in range(300):
        sample = generator.normal(size=(150, 1))
        sums = resampled_sums(sample, num_resamples=400, seed=seed)[:, 0]
        result = percentile(float(sample.mean()), sums / 150, n=150)
        inside.append(result.low <= 0 <= result.high)
        widths.append(result.high - result.low)
    assert 0.90 < np.mean(inside) < 0.98  # 1.3 % is the standard error of this simulation
    assert np.mean(widths) == pytest.approx(2 * 1.96 / np.sqrt(150), rel=0.05)


def test_calibration_interval_of_a_calibrated_model_reaches_down_to_zero() -> None:
    # The truth is 0; percentiles alone would stay above it, since noise only adds to the error.
    inside = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        logits = generator.normal(size=(400, 4))
        drawn = (generator.random((400, 1)) > np.exp(log_softmax(logits)).cumsum(axis=1)).sum(
            axis=1
        )
        result = evaluate(logits, np.minimum(drawn, 3), class_names=TEN[:4], num_resamples=100)
        error = result.calibration_error
        assert error.low <= error.value <= error.high
        inside.append(error.low == 0)
    assert np.mean(inside) > 0.9


def test_calibration_interval_of_an_overconfident_model_keeps_away_from_zero() -> None:
    # Always sure at 0.9, right in 0.7: the true error is 0.2.
    inside = []
    for seed in range(40):
        labels = (np.random.default_rng(seed).random(400) > 0.7).astype(int)
        logits = np.tile([np.log(9.0), 0.0], (400, 1))
        error = evaluate(
            logits, labels, class_names=["a", "b"], num_resamples=200
        ).calibration_error
        assert error.low > 0.1
        inside.append(error.low <= 0.2 <= error.high)
    assert np.mean(inside) >= 0.85  # 3.4 % is the standard error of this simulation


def test_calibration_interval_is_reflected_and_holds_the_value() -> None:
    none, resampled = np.zeros(50), np.full(50, 0.3)
    clear = calibration_error_interval(0.25, resampled, if_calibrated=none, n=5)
    assert (clear.low, clear.value, clear.high) == pytest.approx((0.2, 0.25, 0.25))
    small = calibration_error_interval(0.1, resampled, if_calibrated=none, n=5)
    assert (small.low, small.value, small.high) == (0.0, 0.1, 0.1)


def test_resampled_sums_count_every_draw() -> None:
    sums = resampled_sums(np.ones((37, 2)), num_resamples=123, seed=0)
    assert sums.shape == (123, 2)
    assert (sums == 37).all()


def test_calibration_bins_against_a_loop() -> None:
    generator = np.random.default_rng(4)
    confidences, correct = generator.uniform(0.2, 1, size=300), generator.random(300) < 0.7
    confidences[:3] = [1.0, 0.2, 0.6]  # edges belong to the bin below
    expected = 0.0
    for i in range(15):
        inside = (confidences > i / 15) & (confidences <= (i + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    bins = calibration_bins(confidences, correct, num_bins=15)
    assert expected_calibration_error(bins) == pytest.approx(expected, abs=1e-12)
    assert sum(b.count for b in bins) == 300 and all(b.count for b in bins)


def test_same_seed_same_intervals_and_other_seed_others() -> None:
    logits, labels = noisy(200)
    first, again = (flatten(evaluate(logits, labels, class_names=TEN, seed=3)) for _ in range(2))
    other = flatten(evaluate(logits, labels, class_names=TEN, seed=4))
    assert first == again
    assert first["test/f1_macro"] == other["test/f1_macro"]
    assert first["test/f1_macro_low"] != other["test/f1_macro_low"]


def test_fast_enough_for_a_whole_test_set() -> None:
    logits, labels = noisy(10_000)
    start = time.perf_counter()
    evaluate(logits, labels, class_names=TEN)
    assert time.perf_counter() - start < 5  # 0.4 s alone on a core; room for a busy machine


def test_flatten_names() -> None:
    logits, labels = noisy(60, k=2)
    numbers = flatten(
        evaluate(logits, labels, class_names=["T-shirt/top", "ankle boot"]), prefix="val/"
    )
    estimates = ["accuracy", "cross_entropy", "f1_macro", "precision_macro", "recall_macro"]
    estimates += ["calibration_error", "brier"]
    expected = {"val/num_examples"} | {
        f"val/{e}{s}" for e in estimates for s in ("", "_low", "_high")
    }
    expected |= {
        f"val/{m}/{c}" for m in ("f1", "precision", "recall") for c in ("T-shirt_top", "ankle_boot")
    }
    assert set(numbers) == expected
    assert all(type(number) is float for number in numbers.values())


def test_flatten_keeps_classes_apart_that_become_equal() -> None:
    logits, labels = noisy(60, k=2)
    numbers = flatten(evaluate(logits, labels, class_names=["あ", "い"]))
    assert {"test/f1/0__", "test/f1/1__"} <= set(numbers)


def test_worst_mistakes_orders_by_confidence_even_where_it_rounds_to_one() -> None:
    logits = np.array([[9.0, 0.0], [50.0, 0.0], [60.0, 0.0], [0.0, 70.0], [1.0, 0.0]])
    labels = np.array([1, 1, 1, 1, 1])  # only the fourth is right
    assert worst_mistakes(logits, labels, count=3).tolist() == [2, 1, 0]
    assert worst_mistakes(logits, labels, count=99).tolist() == [2, 1, 0, 4]
    assert worst_mistakes(logits[3:4], labels[3:4], count=5).tolist() == []


def test_top_class_takes_the_lower_index_on_a_tie() -> None:
    predictions, confidences = top_class(np.array([[1.0, 1.0, 1.0, 1.0]], dtype=np.float32))
    assert predictions.tolist() == [0] and confidences == pytest.approx([0.25])


@pytest.mark.parametrize(
    ("logits", "labels", "names", "message"),
    [
        pytest.param([[0.0, np.nan]], [0], "ab", "example 0, class 1, is nan", id="nan"),
        pytest.param([[0.0, np.inf]], [0], "ab", "is inf", id="infinite"),
        pytest.param([[0.0, 1.0]], [2], "ab", "label of example 0 is 2", id="label too large"),
        pytest.param([[0.0, 1.0]], [-1], "ab", r"is -1.*allow 0 … 1", id="label negative"),
        pytest.param([[0.0, 1.0]], [0.5], "ab", "dtype float64", id="label not whole"),
        pytest.param(
            [[0.0, 1.0]], [0, 1], "ab", r"shape \[1, 2\].*shape \[2\]", id="lengths differ"
        ),
        pytest.param([0.0, 1.0], [0, 1], "ab", r"must be \[N, K\]", id="flat logits"),
        pytest.param([[0.0]], [0], "a", "K at least 2", id="one class"),
        pytest.param(np.zeros((0, 2)), np.zeros(0, int), "ab", "0 examples", id="empty"),
        pytest.param([[0.0, 1.0]], [0], "abc", "3 class names.*2 columns", id="too many names"),
        pytest.param([[0.0, 1.0]], [0], "aa", "'a' names more than one", id="same name twice"),
    ],
)
def test_bad_input_is_refused(logits: list, labels: list, names: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(np.array(logits), np.array(labels), class_names=list(names))


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_resamples is 10"):
        evaluate(np.eye(2), np.array([0, 1]), class_names=["a", "b"], num_resamples=10)
