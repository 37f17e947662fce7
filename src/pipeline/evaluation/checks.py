"""The form that logits and labels must have before anything is measured on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import DataError


def checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``logits`` as ``[N, K]`` float64 and ``labels`` as ``[N]`` int64.

    Raises:
        DataError: on a wrong shape or type, no examples, values that are not finite, or a label
            that is no column of the logits.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    _check_shapes(logits, labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"Labels have dtype {labels.dtype}, but they must be whole numbers. "
            "Pass class indices, e.g. int64."
        )
    logits = logits.astype(np.float64)
    _check_finite(logits)
    num_classes = logits.shape[1]
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise DataError(
            f"The label of example {outside[0]} is {labels[outside[0]]}, but logits with "
            f"{num_classes} columns allow 0 … {num_classes - 1}. "
            "Evaluate on the data set the model was trained for."
        )
    return logits, labels.astype(np.int64)


def check_class_names(class_names: Sequence[str], *, num_classes: int) -> None:
    """Raise DataError unless there is one distinct name for each of the ``num_classes`` classes."""
    if len(class_names) != num_classes:
        raise DataError(
            f"There are {len(class_names)} class names for logits with {num_classes} columns; each "
            "column needs one name. "
            "Take the names from the card of the data set the model was trained for."
        )
    twice = sorted({name for name in class_names if list(class_names).count(name) > 1})
    if twice:
        raise DataError(
            f"The class name {twice[0]!r} names more than one class, but names must differ. "
            "Rename one."
        )


def _check_shapes(logits: np.ndarray, labels: np.ndarray) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2 or labels.ndim != 1 or len(logits) != len(labels):
        raise DataError(
            f"Logits of shape {list(logits.shape)} do not fit labels of shape "
            f"{list(labels.shape)}: they must be [N, K] and [N] with K at least 2. "
            "Pass one row of logits for each label."
        )
    if len(labels) == 0:
        raise DataError(
            "There are 0 examples to evaluate, but a metric needs at least 1. "
            "Check that the split holds images and that data.fraction leaves some."
        )


def _check_finite(logits: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(logits))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"The logit of example {row}, class {column}, is {logits[row, column]}, but logits "
            f"must be finite ({len(bad)} of {logits.size} are not). The training diverged: lower "
            "optimizer.learning_rate and train again."
        )
