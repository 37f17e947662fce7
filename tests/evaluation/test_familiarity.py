"""Familiarity: the distances against scikit-learn's, the limit, and the written form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from pipeline.evaluation.familiarity import (
    UNFAMILIAR,
    Familiarity,
    familiarity_of,
    fit_familiarity,
)

CLASSES, WIDTH = 3, 6


def features(num: int, *, seed: int) -> np.ndarray:
    """Normal clouds around the directions of three classes."""
    generator = np.random.default_rng(seed)
    centres = 5 * np.random.default_rng(8).normal(size=(CLASSES, WIDTH))
    values = centres[np.arange(num) % CLASSES] + generator.normal(size=(num, WIDTH))
    return np.asarray(values, dtype=np.float32)


TRAIN, VAL, NEW = features(600, seed=0), features(1000, seed=1), features(2000, seed=2)
FAR = -NEW[:200]
PIXELS = np.random.default_rng(5).integers(0, 256, (2000, 1, 4, 4), dtype=np.uint8)


def fit(train: list[np.ndarray], val: list[np.ndarray]) -> Familiarity:
    """With pixels that are alike for all."""
    images = {"train_images": PIXELS[: len(train[0])], "val_images": PIXELS[: len(val[0])]}
    return fit_familiarity(train, val, **images)


def p_values(fitted: Familiarity, layers: list[np.ndarray]) -> np.ndarray:
    return fitted.p_values(layers, PIXELS[: len(layers[0])])


@pytest.fixture(scope="module")
def fitted() -> Familiarity:
    return fit([TRAIN], [VAL])


def test_the_score_is_the_cosine_distance_of_the_nearest_on_the_scale_of_validation(
    fitted: Familiarity,
) -> None:
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(TRAIN)
    of_val, of_new = (nearest.kneighbors(part)[0][:, 0] for part in (VAL, NEW))
    middle, high = np.quantile(of_val, (0.5, 1 - UNFAMILIAR))
    expected = (of_new - middle) / (high - middle)
    # The features of training images are kept in half precision: 1/2,000 of a coordinate.
    found = fitted.layers[0].scores(NEW)
    np.testing.assert_allclose(found, expected, atol=1e-3 / (high - middle))


def test_pixels_have_the_mahalanobis_distance_where_all_directions_are_kept() -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 1, 3, 3), dtype=np.uint8)
    one = np.ones((400, 2), np.float32)
    found = fit_familiarity([one], [one[:50]], train_images=images, val_images=images[:50])
    flat = images.reshape(400, -1) / 255
    inverse = np.linalg.inv(np.cov(flat, rowvar=False))
    centred = flat[:50] - flat.mean(0)
    by_hand = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    middle, high = np.quantile(by_hand, (0.5, 1 - UNFAMILIAR))
    expected = (by_hand - middle) / (high - middle)
    np.testing.assert_allclose(found.pixels.scores(images[:50]), expected, rtol=1e-6)


def test_about_one_familiar_example_in_a_hundred_is_called_unlike(fitted: Familiarity) -> None:
    share = (p_values(fitted, [NEW]) < UNFAMILIAR).mean()
    # 2,000 new ones beside a limit of 1,000: one in a hundred ± four standard errors.
    assert 0 < share < 0.01 + 4 * (0.01 / 1000 + 0.01 / 2000) ** 0.5


def test_p_values_of_familiar_examples_are_spread_evenly(fitted: Familiarity) -> None:
    shares = p_values(fitted, [NEW])
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.min() > 0 and shares.max() <= 1


def test_far_examples_are_unlike_and_one_far_layer_is_enough(fitted: Familiarity) -> None:
    assert (p_values(fitted, [FAR]) < UNFAMILIAR).mean() > 0.95
    two = fit([TRAIN, TRAIN], [VAL, VAL])
    for layers in ([FAR, NEW[:200]], [NEW[:200], FAR]):
        assert (p_values(two, layers) < UNFAMILIAR).mean() > 0.95


@pytest.mark.parametrize("width", [2, WIDTH])
@pytest.mark.parametrize("far", [0, 1, 200])
def test_the_number_that_is_unlike_is_that_of_the_p_values(width: int, far: int) -> None:
    two = fit([TRAIN, TRAIN[:, :width]], [VAL, VAL[:, :width]])
    some = np.concatenate([FAR[:far], NEW[far:]])
    for layers in ([some, NEW[:, :width]], [NEW, some[:, :width]]):
        expected = int((p_values(two, layers) < UNFAMILIAR).sum())
        assert two.num_unfamiliar(layers, PIXELS) == expected
        assert expected >= far / 2


def test_near_the_limit_the_last_bit_of_the_score_decides() -> None:
    """With many products in a sum, their order changes its last bits."""
    wide = np.random.default_rng(3).normal(size=(2100, 700)).astype(np.float32)
    one = fit([wide[:1200]], [wide[1200:1400]])
    scores = np.sort(one.layers[0].scores(wide[1100:]))
    for limit in (*scores[-40:], *np.nextafter(scores[-40:], -np.inf)):
        moved = replace(one, pixels=replace(one.pixels, middle=1e9), reference=at(limit))
        found = moved.num_unfamiliar([wide[1100:]], PIXELS[:1000])
        assert found == int((p_values(moved, [wide[1100:]]) < UNFAMILIAR).sum())
        assert found == int((scores > limit).sum())


def at(limit: float) -> np.ndarray:
    """Scores of 200 validation images, whose highest percent begins at a limit."""
    return np.sort([*np.linspace(limit - 9, limit, 199), limit + 9])


def test_scores_that_are_no_numbers_are_unlike() -> None:
    one, broken = fit([TRAIN], [VAL]), NEW.copy()
    broken[3] = np.nan
    with np.errstate(invalid="ignore"):
        assert one.layers[0].beyond(broken, 1e9).tolist() == [row == 3 for row in range(len(NEW))]
        expected = int((p_values(one, [broken]) < UNFAMILIAR).sum())
        assert one.num_unfamiliar([broken], PIXELS) == expected


@pytest.mark.parametrize(("num_val", "told"), [(49, False), (50, True), (99, True), (100, True)])
def test_few_validation_images_tell_what_is_farther_than_all_of_them(
    num_val: int, told: bool
) -> None:
    few = fit([TRAIN], [VAL[:num_val]])
    farther = few.scores([FAR], PIXELS[: len(FAR)]) > few.reference[-1]
    assert farther.mean() > 0.95
    warned = p_values(few, [FAR]) < few.limit
    np.testing.assert_array_equal(warned, farther & told)
    assert few.num_unfamiliar([FAR], PIXELS[: len(FAR)]) == warned.sum()


def test_few_validation_images_give_few_false_warnings() -> None:
    """With 60 images, 1 of 61 new ones is farther than all of them, over many draws of the 60."""
    shares = []
    for draw in range(40):
        chosen = np.random.default_rng(draw).permutation(len(VAL))[:60]
        few = fit([TRAIN], [VAL[chosen]])
        shares.append(few.num_unfamiliar([NEW], PIXELS[: len(NEW)]) / len(NEW))
    assert np.mean(shares) == pytest.approx(1 / 61, abs=0.008)


def test_its_written_form_gives_the_same_scores() -> None:
    two = fit([TRAIN, TRAIN[:, :4]], [VAL, VAL[:, :4]])
    again = familiarity_of(two.arrays())
    layers = [NEW, NEW[:, :4]]
    np.testing.assert_array_equal(p_values(again, layers), p_values(two, layers))


def test_features_without_a_direction_give_finite_scores() -> None:
    """Where all units are silent, as an empty picture may leave them."""
    silent = np.zeros((3, WIDTH), dtype=np.float32)
    found = fit([TRAIN], [VAL])
    assert np.isfinite(found.layers[0].scores(silent)).all()
    assert (p_values(found, [silent]) < UNFAMILIAR).all()
    alone = fit([silent], [silent])
    assert np.isfinite(alone.layers[0].scores(silent)).all()


def test_large_pictures_are_compared_by_the_means_of_their_blocks() -> None:
    small = np.random.default_rng(0).integers(0, 200, (40, 3, 16, 16), dtype=np.uint8)
    large = np.repeat(np.repeat(small, 6, 2), 6, 3)
    one = np.ones((40, 2), np.float32)
    found, plain = (
        fit_familiarity([one], [one[:9]], train_images=part, val_images=part[:9]).pixels
        for part in (large, small)
    )
    assert found.mean.shape == (768,)
    np.testing.assert_allclose(found.scores(large[:5]), plain.scores(small[:5]), rtol=1e-4)


def test_a_table_with_more_columns_than_rows_has_the_distances_of_its_covariance() -> None:
    """Whose eigenvectors take minutes and gigabytes for ten thousand columns."""
    generator = np.random.default_rng(3)
    rows = generator.integers(0, 256, (80, 1, 1, 1100), dtype=np.uint8)
    rows[..., :500] //= 8
    rows[..., 1000:] = 7
    new = generator.integers(0, 256, (30, 1, 1, 1100), dtype=np.uint8)
    kept = 50
    flat, others = (part.reshape(len(part), -1) / 255 for part in (rows, new))
    variances, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    inside = (others - flat.mean(0)) @ vectors[:, -kept:]
    outside = np.square(others - flat.mean(0)).sum(1) - np.square(inside).sum(1)
    distances = (inside**2 / variances[-kept:]).sum(1) + outside / variances[:-kept].mean()
    features = np.ones((80, 2), np.float32)
    found = fit_familiarity([features], [features], train_images=rows, val_images=rows).pixels
    scores = found.middle + found.spread * found.scores(new)
    np.testing.assert_allclose(scores, distances, rtol=1e-9)
    assert found.components.shape == (kept, 1100)


def test_rows_that_are_all_equal_are_at_no_distance() -> None:
    rows = np.full((60, 1, 1, 1100), 9, np.uint8)
    features = np.ones((60, 2), np.float32)
    found = fit_familiarity([features], [features], train_images=rows, val_images=rows).pixels
    assert found.scores(rows).tolist() == [0.0] * 60
    assert (found.scores(rows + 1) > 0).all()


def test_the_reference_is_the_scores_of_the_validation_images() -> None:
    two = fit([TRAIN, TRAIN[:, :4]], [VAL, VAL[:, :4]])
    scores = two.scores([VAL, VAL[:, :4]], PIXELS[: len(VAL)])
    np.testing.assert_array_equal(two.reference, np.sort(scores))
