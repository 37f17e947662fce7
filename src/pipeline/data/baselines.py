"""Two cheap reference models: a network that does not beat them is not worth its cost.

Both are fitted on a stratified sample of the training images and measured on validation. A
temperature turns their scores into probabilities (Guo et al. 2017,
https://arxiv.org/abs/1706.04599). It is fitted on training images that the model has not seen,
never on validation. A share of the class prior is mixed in, so that one confident mistake costs a
finite amount.

Larger images are reduced to about 32 pixels a side, so that a baseline stays cheap: the pixels of
10,000 coloured images of 224 × 224 would take 6 GB.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.data.split import stratified_fraction
from pipeline.records import Baseline, ImageSet

MAX_TRAIN_IMAGES = 10_000
MAX_SIDE = 32
_CHUNK = 500  # images that are reduced at once
_HELD_OUT_SHARE = 0.15
_NUM_FEATURES = 4096
_RIDGE = 0.1
# scikit-learn's C, for centred pixels divided by their overall deviation
_INVERSE_PENALTY = 0.05

Scorer = Callable[[np.ndarray], np.ndarray]


def fit_baselines(
    train: ImageSet, val: ImageSet, *, num_classes: int, seed: int
) -> Mapping[str, Baseline]:
    """Fit and measure both models: ``logistic_regression`` and ``random_features``.

    Deterministic for one seed. Empty where no class has two training images: then no image can be
    held out for calibration.
    """
    fit, held_out = _choose_parts(train.labels, seed=seed)
    if len(held_out) == 0:
        return {}
    pixels = _flatten(train.images, np.concatenate([fit, held_out]))
    fit_pixels, held_pixels = pixels[: len(fit)], pixels[len(fit) :]
    val_pixels = _flatten(val.images, np.arange(len(val)))
    prior = np.bincount(train.labels, minlength=num_classes) / len(train)
    labels = train.labels[fit]
    # Beside one another: the one imports scikit-learn while the other multiplies matrices.
    with ThreadPoolExecutor(2) as threads:
        fitted = {
            "random_features": threads.submit(
                fit_random_features, fit_pixels, labels, num_classes=num_classes, seed=seed
            ),
            "logistic_regression": threads.submit(
                fit_logistic_regression, fit_pixels, labels, num_classes=num_classes
            ),
        }
        scorers = {
            name: fitted[name].result() for name in ("logistic_regression", "random_features")
        }
    return {
        name: _measure(
            scores=scorer(val_pixels),
            labels=val.labels,
            temperature=fit_temperature(scorer(held_pixels), train.labels[held_out]),
            prior=prior,
            num_held_out=len(held_out),
            num_train=len(pixels),
        )
        for name, scorer in scorers.items()
    }


def _choose_parts(labels: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices to fit on (every class) and indices to hold out (for the temperature)."""
    chosen = np.arange(len(labels))
    if len(labels) > MAX_TRAIN_IMAGES:
        chosen = stratified_fraction(labels, fraction=MAX_TRAIN_IMAGES / len(labels), seed=seed)
    num_classes = len(np.unique(labels[chosen]))
    share = max(1 - _HELD_OUT_SHARE, num_classes / len(chosen))
    kept = stratified_fraction(labels[chosen], fraction=share, seed=seed + 1)
    return chosen[kept], np.delete(chosen, kept)


def _flatten(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    factor = -(-min(images.shape[2:]) // MAX_SIDE)
    if factor > 1 and len(indices):
        parts = (images[indices[i : i + _CHUNK]] for i in range(0, len(indices), _CHUNK))
        chosen = np.concatenate([reduced(part, factor=factor) for part in parts])
    else:
        chosen = images[indices]
    return chosen.reshape(len(chosen), -1).astype(np.float32) / np.float32(255)


def reduced(images: np.ndarray, *, factor: int) -> np.ndarray:
    """Return the mean of each ``factor × factor`` pixels, ``[N, C, H', W']`` float32.

    Rows and columns that are left over are dropped; a side below ``factor`` stays as it is.
    """
    count, channels, height, width = images.shape
    down, right = (factor if side >= factor else 1 for side in (height, width))
    whole = images[:, :, : height // down * down, : width // right * right]
    blocks = whole.reshape(count, channels, height // down, down, width // right, right)
    return np.asarray(blocks.mean(axis=(3, 5), dtype=np.float32))


def fit_logistic_regression(pixels: np.ndarray, labels: np.ndarray, *, num_classes: int) -> Scorer:
    """Fit multinomial logistic regression (L2, L-BFGS).

    pixels: ``[N, D]`` float32, 0 … 1.  labels: ``[N]`` int64.
    Returns a function from ``[M, D]`` pixels to ``[M, num_classes]`` scores; a class without images
    scores below all others.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    center, scale = pixels.mean(axis=0), np.float32(pixels.std() or 1.0)
    present = np.unique(labels)
    if len(present) == 1:
        return lambda new: _spread(
            np.zeros((len(new), 1)), present=present, num_classes=num_classes
        )
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=60, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough for a reference
        model.fit((pixels - center) / scale, labels)

    def score(new: np.ndarray) -> np.ndarray:
        scores = model.decision_function((new - center) / scale)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        return _spread(scores, present=present, num_classes=num_classes)

    return score


def _spread(scores: np.ndarray, *, present: np.ndarray, num_classes: int) -> np.ndarray:
    """Put the columns of the seen classes in their places among all classes."""
    result = np.full((len(scores), num_classes), scores.min(initial=0.0) - 10.0)
    result[:, present] = scores
    return result


def fit_random_features(
    pixels: np.ndarray, labels: np.ndarray, *, num_classes: int, seed: int
) -> Scorer:
    """Fit ridge regression on one-hot labels over random Fourier features of a Gaussian kernel.

    The features are ``cos(x·w + b)`` with ``w`` normal, its width from the median distance of
    training images, ``b`` uniform (Rahimi & Recht 2007,
    https://papers.nips.cc/paper/3182-random-features-for-large-scale-kernel-machines).
    Arguments and result as in ``fit_logistic_regression``.
    """
    generator = np.random.default_rng(seed)
    width = _median_distance(pixels, generator)
    weights = generator.standard_normal((pixels.shape[1], _NUM_FEATURES)).astype(np.float32) / width
    phases = generator.uniform(0, 2 * np.pi, _NUM_FEATURES).astype(np.float32)

    def expand(new: np.ndarray) -> np.ndarray:
        return np.cos(new @ weights + phases)

    features = expand(pixels)
    center = features.mean(axis=0)
    targets = np.eye(num_classes, dtype=np.float32)[labels]
    offset = targets.mean(axis=0)
    features -= center
    solution = solve_ridge(features, targets - offset, ridge=_RIDGE)
    return lambda new: (expand(new) - center) @ solution + offset


def solve_ridge(features: np.ndarray, targets: np.ndarray, *, ridge: float) -> np.ndarray:
    """Minimise ``|features @ x - targets|² + penalty |x|²``; returns ``x`` ``[P, C]`` float32.

    features: ``[N, P]``.  targets: ``[N, C]``.  The penalty is ``ridge`` times the mean square
    length of a feature column.  The smaller of N and P dimensions is solved; ``x`` is the same.
    """
    import scipy.linalg

    few_images = len(features) < features.shape[1]
    gram = features @ features.T if few_images else features.T @ features
    penalty = ridge * float(np.trace(gram, dtype=np.float64)) / features.shape[1] + 1e-6
    # The penalty bounds the condition number by P / ridge, so that float32 is enough.
    gram[np.diag_indices(len(gram))] += gram.dtype.type(penalty)
    right = targets if few_images else features.T @ targets
    solution = scipy.linalg.solve(gram, right, assume_a="pos", overwrite_a=True)
    return (features.T @ solution if few_images else solution).astype(np.float32)


def _median_distance(pixels: np.ndarray, generator: np.random.Generator) -> np.float32:
    """Return the median Euclidean distance of 1,000 random pairs; 1 where all images are equal."""
    left, right = generator.integers(len(pixels), size=(2, 1000))
    distances = np.linalg.norm(pixels[left] - pixels[right], axis=1)
    return np.float32(np.median(distances[distances > 0]) if (distances > 0).any() else 1.0)


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature whose ``softmax(scores / temperature)`` has the least cross-entropy.

    scores: ``[N, C]``.  labels: ``[N]``.  The search covers 1e-3 … 1e3; the problem is convex in
    1 / temperature, so there is one minimum.
    """
    from scipy.optimize import minimize_scalar

    def cross_entropy(log_temperature: float) -> float:
        log_shares = _log_softmax(scores / np.exp(log_temperature))
        return float(-log_shares[np.arange(len(labels)), labels].mean())

    best = minimize_scalar(cross_entropy, bounds=(np.log(1e-3), np.log(1e3)), method="bounded")
    return float(np.exp(best.x))


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _measure(
    *,
    scores: np.ndarray,
    labels: np.ndarray,
    temperature: float,
    prior: np.ndarray,
    num_held_out: int,
    num_train: int,
) -> Baseline:
    """Measure on validation; mix in a share of the prior, ``1 / (num_held_out + 2)``."""
    prior_share = 1.0 / (num_held_out + 2)
    smoothed = (1 - prior_share) * np.exp(_log_softmax(scores / temperature)) + prior_share * prior
    return Baseline(
        accuracy=float((scores.argmax(axis=1) == labels).mean()),
        cross_entropy=float(-np.log(smoothed[np.arange(len(labels)), labels]).mean()),
        num_train=num_train,
    )
