from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss

import small_mnist
from pipeline.data.baselines import fit_baselines, fit_temperature, reduced, solve_ridge
from pipeline.records import ImageSet

NAMES = {"logistic_regression", "random_features"}


def make_set(pixels: np.ndarray, labels: np.ndarray) -> ImageSet:
    """pixels: [N, D] in 0 … 1."""
    images = (pixels * 255).round().astype(np.uint8).reshape(len(pixels), 1, 1, -1)
    return ImageSet(images=images, labels=labels.astype(np.int64))


def make_ring(num: int, seed: int) -> ImageSet:
    """Class 1 surrounds class 0: no linear rule can tell them apart."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    angle = generator.uniform(0, 2 * np.pi, num)
    radius = np.where(labels == 1, 0.4, 0.1)
    return make_set(
        0.5 + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).clip(-0.5, 0.5),
        labels,
    )


def test_on_mnist_the_known_order_of_the_two_models_and_the_stored_numbers() -> None:
    result = fit_baselines(
        small_mnist.load_images("train"), small_mnist.load_images("val"), num_classes=10, seed=0
    )
    assert set(result) == NAMES == set(small_mnist.BASELINES)
    for name, baseline in result.items():
        # 500 images: one standard error of an accuracy of 0.9 is 0.013
        assert baseline.accuracy == pytest.approx(small_mnist.BASELINES[name].accuracy, abs=0.013)
        assert baseline.cross_entropy == pytest.approx(
            small_mnist.BASELINES[name].cross_entropy, abs=0.03
        )
        assert baseline.num_train == 2000
    assert result["random_features"].accuracy > result["logistic_regression"].accuracy > 0.85


def test_the_same_seed_gives_the_same_numbers() -> None:
    train, val = make_ring(300, 0), make_ring(100, 1)
    assert fit_baselines(train, val, num_classes=2, seed=5) == fit_baselines(
        train, val, num_classes=2, seed=5
    )


def test_only_the_random_features_can_see_a_ring() -> None:
    result = fit_baselines(make_ring(800, 0), make_ring(400, 1), num_classes=2, seed=0)
    assert result["logistic_regression"].accuracy < 0.7
    assert result["random_features"].accuracy > 0.98


def test_where_nothing_can_be_learned_the_cross_entropy_is_the_entropy_of_the_prior() -> None:
    """An uncalibrated fit of 100 noise pixels would be far above log 4."""
    generator = np.random.default_rng(0)
    train = make_set(generator.uniform(size=(2000, 100)), np.arange(2000) % 4)
    val = make_set(generator.uniform(size=(1000, 100)), np.arange(1000) % 4)
    for baseline in fit_baselines(train, val, num_classes=4, seed=0).values():
        assert baseline.cross_entropy == pytest.approx(math.log(4), abs=0.03)
        assert baseline.accuracy == pytest.approx(0.25, abs=0.06)


def test_one_confident_mistake_costs_a_finite_amount() -> None:
    pixels = np.repeat([[0.0, 1.0], [1.0, 0.0]], 200, axis=0)
    labels = np.repeat([0, 1], 200)
    val_labels = labels.copy()
    val_labels[0] = 1
    result = fit_baselines(
        make_set(pixels, labels), make_set(pixels, val_labels), num_classes=2, seed=0
    )
    for baseline in result.values():
        assert baseline.accuracy == 399 / 400
        assert 0 < baseline.cross_entropy < 0.05


def test_temperature_recovers_the_factor_by_which_logits_were_scaled() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5))
    gumbel = generator.gumbel(size=logits.shape)
    labels = (logits + gumbel).argmax(axis=1)  # drawn from softmax(logits), so its temperature is 1
    for factor in (0.1, 1.0, 30.0):
        assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.03)


def test_no_temperature_on_a_grid_is_better() -> None:
    generator = np.random.default_rng(1)
    scores, labels = generator.normal(size=(300, 4)), generator.integers(0, 4, 300)
    labels[:150] = scores[:150].argmax(axis=1)
    best = fit_temperature(scores, labels)
    losses = {
        t: log_loss(labels, np.exp(log_softmax(scores / t, axis=1)))
        for t in (best, *np.geomspace(0.01, 99, 99))
    }
    assert losses[best] <= min(losses.values()) + 1e-6


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)], ids=["many_images", "few_images"])
def test_ridge_agrees_with_a_second_library(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    features, targets = generator.normal(size=shape), generator.normal(size=(shape[0], 3))
    penalty = 0.3 * (features**2).sum() / shape[1] + 1e-6
    theirs = Ridge(alpha=penalty, fit_intercept=False).fit(features, targets).coef_.T
    np.testing.assert_allclose(solve_ridge(features, targets, ridge=0.3), theirs, atol=1e-6)


def test_a_class_without_images_gets_no_probability_and_no_crash() -> None:
    result = fit_baselines(make_ring(200, 0), make_ring(100, 1), num_classes=3, seed=0)
    assert result["random_features"].accuracy > 0.95
    assert all(math.isfinite(baseline.cross_entropy) for baseline in result.values())


def test_tiny_data_has_baselines_as_long_as_one_image_can_be_held_out() -> None:
    pixels, labels = np.random.default_rng(0).uniform(size=(5, 4)), np.array([0, 0, 1, 1, 2])
    train = make_set(pixels, labels)
    assert set(fit_baselines(train, train, num_classes=3, seed=0)) == NAMES
    single = make_set(pixels[[0, 2, 4]], labels[[0, 2, 4]])
    assert fit_baselines(single, train, num_classes=3, seed=0) == {}


def test_equal_images_are_no_crash() -> None:
    blank = make_set(np.zeros((40, 9)), np.arange(40) % 2)
    for baseline in fit_baselines(blank, blank, num_classes=2, seed=0).values():
        assert baseline.cross_entropy == pytest.approx(math.log(2), abs=0.05)


def test_large_images_are_reduced_to_the_mean_of_blocks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 96, 100), dtype=np.uint8)
    found = reduced(images, factor=3)
    assert found.shape == (2, 3, 32, 33)
    assert found[1, 2, 5, 7] == pytest.approx(images[1, 2, 15:18, 21:24].mean(), rel=1e-6)
    row = images[:, :, :1]
    np.testing.assert_allclose(reduced(row, factor=2)[0, 0, 0, 4], row[0, 0, 0, 8:10].mean())


def test_the_baselines_of_large_images_are_those_of_the_reduced_ones() -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(60) % 2
    small = generator.integers(0, 120, (60, 3, 32, 32), dtype=np.uint8)
    small += (labels * 100).astype(np.uint8)[:, None, None, None]
    sets = [
        [
            ImageSet(np.repeat(np.repeat(part, times, 2), times, 3), labels[: len(part)])
            for part in (small[:40], small[40:])
        ]
        for times in (1, 3)
    ]
    plain, large = (fit_baselines(train, val, num_classes=2, seed=0) for train, val in sets)
    for name in NAMES:
        assert large[name].cross_entropy == pytest.approx(plain[name].cross_entropy, rel=1e-3)
