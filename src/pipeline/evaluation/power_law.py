"""The gain from more data: loss = a + b · n^-c over the number of training images n.

The form is that of learning curves measured over many tasks (Hestness et al., 2017,
arXiv:1712.00409; with the floor a: Rosenfeld et al., 2020, arXiv:1909.12673). For a given c the law
is linear in a and b, which non-negative least squares on relative errors gives. A bounded search
gives c, so no start value can be unlucky.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar, nnls

from pipeline.records import Estimate

SMALLEST_C, LARGEST_C = 0.01, 3.0
LEAST_SIZES = 4


@dataclass(frozen=True)
class PowerLaw:
    """A fitted law. a: the floor, in the loss's unit.  c: the exponent of the fall.

    bootstrap: rows of (a, b, c).  sizes: the numbers of images, ascending.  means: of the loss at
    each size.  held_out: the prediction for the largest size of a law fitted without it; None with
    fewer than 5 sizes.  n: the number of runs.
    """

    a: float
    b: float
    c: float
    bootstrap: tuple[tuple[float, float, float], ...]
    sizes: tuple[float, ...]
    means: tuple[float, ...]
    held_out: float | None
    n: int

    def at(self, size: float) -> Estimate:
        """Return the loss at a number of images, with a 95 % interval (NaN without repeats)."""
        value = _law((self.a, self.b, self.c), size)
        return self._spread(value, [_law(row, size) for row in self.bootstrap])

    def gain(self, size: float, *, factor: float = 2.0) -> Estimate:
        """Return the fall of the loss from ``size`` to ``factor`` times as many images."""

        def fall(row: tuple[float, float, float]) -> float:
            return _law(row, size) - _law(row, factor * size)

        return self._spread(fall((self.a, self.b, self.c)), [fall(row) for row in self.bootstrap])

    @property
    def floor(self) -> Estimate:
        """The loss that this law approaches with ever more data."""
        return self._spread(self.a, [row[0] for row in self.bootstrap])

    @property
    def exponent(self) -> Estimate:
        """The exponent c."""
        return self._spread(self.c, [row[2] for row in self.bootstrap])

    def _spread(self, value: float, drawn: Sequence[float]) -> Estimate:
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (math.nan, math.nan)
        return Estimate(value, float(low), float(high), self.n)


def fit_power_law(
    sizes: Sequence[float], losses: Sequence[float], *, num_bootstrap: int = 300, seed: int = 0
) -> PowerLaw | None:
    """Fit the law to one loss (above 0) a run; runs of the same size are repeats.

    The bootstrap draws repeats within each size. It does not cover errors of the law itself beyond
    the data; ``held_out`` gives an idea of those. Returns None for fewer than 4 sizes.
    """
    n, y = np.asarray(sizes, float), np.asarray(losses, float)
    levels = np.unique(n)
    if len(levels) < LEAST_SIZES or not (y > 0).all():
        return None
    groups = [y[n == level] for level in levels]
    means = np.array([g.mean() for g in groups])
    a, b, c = _fit(levels, means)
    rng, rows = np.random.default_rng(seed), []
    if all(len(g) > 1 for g in groups):
        for _ in range(num_bootstrap):
            drawn = [_redrawn_mean(g, rng) for g in groups]
            rows.append(_fit(levels, np.maximum(drawn, 1e-12)))
    held_out = None
    if len(levels) > LEAST_SIZES:
        held_out = _law(_fit(levels[:-1], means[:-1]), levels[-1])
    return PowerLaw(a, b, c, tuple(rows), tuple(levels), tuple(means), held_out, len(y))


def _redrawn_mean(values: np.ndarray, rng: np.random.Generator) -> float:
    # The variance of a mean of k values drawn with replacement is too small by (k - 1) / k
    k, mean = len(values), values.mean()
    return float(mean + (rng.choice(values, k).mean() - mean) * math.sqrt(k / (k - 1)))


def _fit(sizes: np.ndarray, means: np.ndarray) -> tuple[float, float, float]:
    # While fitting, b belongs to n / scale, so that both columns have about the same size
    scale = sizes.max()

    def solved(c: float) -> tuple[float, float, float]:
        columns = np.stack([np.ones_like(means), (sizes / scale) ** -c], axis=1) / means[:, None]
        (a, b), residual = nnls(columns, np.ones_like(means))
        return float(residual), float(a), float(b)

    grid = np.geomspace(SMALLEST_C, LARGEST_C, 40)
    nearest = int(np.argmin([solved(c)[0] for c in grid]))
    bounds = (grid[max(nearest - 1, 0)], grid[min(nearest + 1, len(grid) - 1)])
    best = minimize_scalar(
        lambda c: solved(c)[0], bounds=bounds, method="bounded", options={"xatol": 1e-7}
    )
    c = float(best.x)
    _, a, b = solved(c)
    return a, b * scale**c, c


def _law(row: tuple[float, float, float], size: float) -> float:
    a, b, c = row
    return float(a + b * size**-c)
