"""Seeded, stratified samples of indices: for the validation part, a test part, a data fraction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import DataError


def allocate(class_counts: np.ndarray, *, size: int) -> np.ndarray:
    """Share ``size`` places among classes in proportion to their counts, by largest remainder.

    class_counts: ``[C]`` int, images per class.  size: 0 … sum of the counts.
    Returns ``[C]`` int64 that sum to ``size`` exactly, none above its class's count; on equal
    remainders the lower class comes first. The Hamilton method:
    https://en.wikipedia.org/wiki/Quota_method
    """
    counts = class_counts.astype(np.int64)
    total = int(counts.sum())
    floors = counts * size // total
    remainders = counts * size % total
    # A class with a remainder has a quota below its count, so one place more always fits.
    winners = np.argsort(-remainders, kind="stable")[: size - int(floors.sum())]
    floors[winners] += 1
    return floors


def stratified_split(
    labels: np.ndarray, *, size: int, seed: int, class_names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Divide indices into the rest and a stratified sample of exactly ``size``.

    labels: ``[N]`` integers ≥ 0.  class_names: for messages; without them a class is its number.
    Returns ``(rest, sample)``: sorted int64 indices, disjoint, together ``0 … N - 1``.

    Raises:
        DataError: ``size`` is not 1 … N - 1, or the rest would lose a class entirely.
    """
    if not 0 < size < len(labels):
        raise DataError(
            f"A part of {size} examples cannot be taken from {len(labels)}: "
            f"allowed are 1 … {len(labels) - 1}. Choose another size, or add examples."
        )
    counts = np.bincount(labels)
    places = allocate(counts, size=size)
    emptied = np.flatnonzero((counts > 0) & (places == counts))
    if len(emptied):
        label = int(emptied[0])
        raise DataError(
            f"A part of {size} of {len(labels)} examples would take every example of class "
            f"{class_names[label] if class_names else label}, which has {int(counts[label])}. "
            "Take a smaller part, or add examples of this class."
        )
    sample = _draw(labels, places=places, seed=seed)
    rest = np.setdiff1d(np.arange(len(labels)), sample, assume_unique=True)
    return rest, sample


def stratified_fraction(labels: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """Choose a stratified share of the images, at least one of each class.

    labels: ``[N]`` integers ≥ 0.  fraction: 0 < fraction ≤ 1; 1 keeps everything.
    Returns sorted int64 indices, ``round(fraction · N)`` of them.

    Raises:
        DataError: ``fraction`` is out of range or too small for one image per class.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"data.fraction={fraction} is out of range: choose 0 < data.fraction ≤ 1.")
    counts = np.bincount(labels)
    num_present = int(np.count_nonzero(counts))
    size = round(fraction * len(labels))
    if size < max(num_present, 1):
        way_out = "use other data"
        if len(labels):
            way_out = f"choose at least data.fraction={num_present / len(labels):.3g}"
        raise DataError(
            f"data.fraction={fraction} leaves {size} of {len(labels)} images, and each of the "
            f"{num_present} classes needs one: {way_out}."
        )
    places = _at_least_one(allocate(counts, size=size), counts=counts)
    return _draw(labels, places=places, seed=seed)


def _at_least_one(places: np.ndarray, *, counts: np.ndarray) -> np.ndarray:
    """Give every class that has images one place, taken from the classes with the most places."""
    result = np.where(counts > 0, np.maximum(places, 1), 0)
    for _ in range(int(result.sum() - places.sum())):
        result[np.argmax(result)] -= 1
    return result


def _draw(labels: np.ndarray, *, places: np.ndarray, seed: int) -> np.ndarray:
    """Draw ``places[c]`` indices of each class ``c`` without replacement, sorted."""
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:place]
        for label, place in enumerate(places)
    ]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
