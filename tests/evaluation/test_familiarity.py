"""Familiarity: few images of the training's kind look strange, and almost all others do."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.familiarity import Familiarity, fit_familiarity
from small_mnist import load_images

TEST = load_images("test").images
NOISE = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def mnist() -> Familiarity:
    return fit_familiarity(load_images("train").images, load_images("val").images)


def test_about_one_test_image_in_a_hundred_looks_strange(mnist: Familiarity) -> None:
    p_values = mnist.p_values(TEST)
    # 500 images: one in a hundred ± three standard errors.
    assert 0.0 <= (p_values < 0.01).mean() < 0.035


def test_p_values_of_test_images_are_spread_evenly(mnist: Familiarity) -> None:
    assert np.mean(mnist.p_values(TEST)) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(NOISE, id="noise"),
        pytest.param(255 - TEST[:50], id="dark_on_light"),
        pytest.param(np.rot90(NOISE, axes=(2, 3)), id="turned_noise"),
    ],
)
def test_other_images_look_strange(mnist: Familiarity, images: np.ndarray) -> None:
    assert (mnist.p_values(images) < 0.01).mean() > 0.95


def test_scores_are_the_mahalanobis_distance_where_all_directions_are_kept() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (400, 1, 3, 3), dtype=np.uint8)
    found = fit_familiarity(images, images[:50])
    flat = images.reshape(400, -1) / 255
    inverse = np.linalg.inv(np.cov(flat, rowvar=False))
    centred = flat[:5] - flat.mean(0)
    by_hand = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    np.testing.assert_allclose(found.scores(images[:5]), by_hand, rtol=1e-6)
