"""Formulas without spread: log-probabilities, confusion counts, precision, recall, F1, calibration.

Each formula for one confusion matrix also takes a stack of them (leading axes), so that the same
lines compute the measured value and the resamples of a bootstrap.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.results import CalibrationBin


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities in nats, same shape; logits of ±1e4 do not overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def top_class(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted class ``[N]`` int64 and its probability ``[N]`` of logits ``[N, K]``.

    On a tie the class with the lower index is predicted.
    """
    predictions = logits.argmax(axis=1)
    return predictions, np.exp(log_softmax(logits.astype(np.float64)).max(axis=1))


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, *, num_classes: int
) -> np.ndarray:
    """Count ``[K, K]`` int64: row = true class, column = predicted class."""
    cells = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return ``part / whole``; 0 where the whole is 0, as scikit-learn's ``zero_division=0``."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def precision_recall_f1(
    hits: np.ndarray, *, predicted: np.ndarray, support: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the scores of each class from counts ``[…, K]``.

    hits: right predictions.  predicted: predicted as the class.  support: truly of the class.

    F1 is ``2 hits / (predicted + support)``, the harmonic mean of the other two.
    """
    return share(hits, predicted), share(hits, support), share(2 * hits, predicted + support)


def calibration_bin_of(confidences: np.ndarray, *, num_bins: int) -> np.ndarray:
    """Return the index ``[N]`` of each confidence's bin ``(i / num_bins, (i + 1) / num_bins]``."""
    return np.clip(np.ceil(confidences * num_bins).astype(np.int64) - 1, 0, num_bins - 1)


def calibration_bins(
    confidences: np.ndarray, correct: np.ndarray, *, num_bins: int
) -> tuple[CalibrationBin, ...]:
    """Group examples by confidence; bins without examples are left out."""
    bin_of = calibration_bin_of(confidences, num_bins=num_bins)
    counts = np.bincount(bin_of, minlength=num_bins)
    confidence_sums = np.bincount(bin_of, weights=confidences, minlength=num_bins)
    correct_sums = np.bincount(bin_of, weights=correct, minlength=num_bins)
    return tuple(
        CalibrationBin(
            low=i / num_bins,
            high=(i + 1) / num_bins,
            count=int(counts[i]),
            mean_confidence=float(confidence_sums[i] / counts[i]),
            accuracy=float(correct_sums[i] / counts[i]),
        )
        for i in np.flatnonzero(counts).tolist()
    )


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Return the mean over examples of ``|accuracy - confidence|`` of their bin, 0 … 1.

    Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3.
    """
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.accuracy - b.mean_confidence) for b in bins) / total
