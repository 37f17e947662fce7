from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.data.split import allocate, stratified_fraction, stratified_split
from pipeline.errors import DataError

label_lists = st.lists(st.integers(0, 5), min_size=2, max_size=120).map(np.array)


@pytest.mark.parametrize(
    ("counts", "size", "places"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),
        ([47, 16, 158], 10, [2, 1, 7]),  # quotas 2.13, 0.72, 7.15
        ([1, 1, 1], 2, [1, 1, 0]),  # equal remainders: the lower class first
        ([3, 0, 1], 4, [3, 0, 1]),
        ([7, 5], 0, [0, 0]),
    ],
)
def test_places_are_shared_by_largest_remainder(
    counts: list[int], size: int, places: list[int]
) -> None:
    assert allocate(np.array(counts), size=size).tolist() == places


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any), st.data())
def test_every_class_is_within_one_of_its_quota(counts: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, sum(counts)))
    places = allocate(np.array(counts), size=size)
    quotas = [count * size / sum(counts) for count in counts]
    assert places.sum() == size
    assert all(0 <= place <= count for place, count in zip(places, counts, strict=True))
    assert all(abs(place - quota) < 1 for place, quota in zip(places, quotas, strict=True))


@settings(deadline=None)
@given(label_lists, st.data(), st.integers(0, 2**32 - 1))
def test_a_split_is_an_exact_partition_that_leaves_every_class(
    labels: np.ndarray, data: st.DataObject, seed: int
) -> None:
    size = data.draw(st.integers(1, len(labels) - 1))
    try:
        rest, sample = stratified_split(labels, size=size, seed=seed)
    except DataError:
        counts = np.bincount(labels)
        assert ((allocate(counts, size=size) == counts) & (counts > 0)).any()
        return
    assert len(sample) == size
    assert sorted([*rest, *sample]) == list(range(len(labels)))
    assert set(labels[rest]) == set(labels)


def test_the_seed_alone_decides_and_every_image_has_its_chance() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = (stratified_split(labels, size=20, seed=seed)[1] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    seen = {
        index for seed in range(60) for index in stratified_split(labels, size=20, seed=seed)[1]
    }
    assert seen == set(range(100))  # a given image is missed with probability 0.8 ** 60 = 1.5e-6


@pytest.mark.parametrize("size", [-1, 0, 10, 11])
def test_an_impossible_size_names_what_is_allowed(size: int) -> None:
    with pytest.raises(DataError, match=r"1 … 9"):
        stratified_split(np.zeros(10, dtype=np.int64), size=size, seed=0)


def test_a_split_that_empties_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"every example of class 1, which has 1\."):
        stratified_split(np.array([0] * 9 + [1]), size=8, seed=0)


@settings(deadline=None)
@given(label_lists, st.floats(0.01, 1), st.integers(0, 1000))
def test_a_fraction_has_its_size_and_every_class(
    labels: np.ndarray, fraction: float, seed: int
) -> None:
    size = round(fraction * len(labels))
    assume(size >= len(set(labels)))
    chosen = stratified_fraction(labels, fraction=fraction, seed=seed)
    assert len(chosen) == size == len(set(chosen))
    assert set(labels[chosen]) == set(labels)


def test_a_rare_class_is_kept_at_the_cost_of_the_largest() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [2])
    chosen = stratified_fraction(labels, fraction=0.1, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [8, 1, 1]  # largest remainder gives 9, 1, 0


def test_the_whole_fraction_is_everything_in_order() -> None:
    assert stratified_fraction(np.array([1, 0, 1]), fraction=1.0, seed=3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.0, "out of range"),
        (-1, "out of range"),
        (1.5, "out of range"),
        (float("nan"), "out of range"),
        (0.01, "at least data.fraction=0.05"),
    ],
)
def test_an_impossible_fraction_is_refused(fraction: float, said: str) -> None:
    with pytest.raises(DataError, match=said):
        stratified_fraction(np.repeat(np.arange(5), 20), fraction=fraction, seed=0)


def test_no_images_at_all_are_a_data_error() -> None:
    with pytest.raises(DataError):
        stratified_fraction(np.array([], dtype=np.int64), fraction=0.5, seed=0)
