"""One evaluation: logits and labels in, every metric with its interval out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from pipeline.errors import ConfigError
from pipeline.evaluation import scores
from pipeline.evaluation.checks import check_class_names, checked
from pipeline.evaluation.intervals import (
    calibration_error_interval,
    errors_if_calibrated,
    percentile,
    resampled_sums,
    wilson,
    wilson_f1,
)
from pipeline.evaluation.results import ClassScores, Evaluation
from pipeline.records import Estimate

NUM_CALIBRATION_BINS = 15
_FEWEST_RESAMPLES = 40  # below, 2.5 % at either end is less than one resample


def evaluate(
    logits: np.ndarray,
    labels: np.ndarray,
    *,
    class_names: Sequence[str],
    num_resamples: int,
    seed: int = 0,
) -> Evaluation:
    """Measure a classifier on ``logits [N, K]`` (float) and ``labels [N]`` (int, ``0 … K - 1``).

    The intervals are at 95 %: Wilson for accuracy and for each class, the bootstrap
    (``num_resamples`` seeded resamples of the examples) for the rest. They hold for other examples
    of the same kind, not for other training runs. A macro score is the plain mean over all K
    classes; a class without any prediction or example counts as 0 in it. On a tie of logits the
    lower index is predicted. A bootstrap interval has no width where every prediction is right;
    then use the interval of accuracy.

    Raises:
        DataError: on shapes that do not fit, no examples, logits that are not finite, a label
            without a column, or class names that are not one distinct name per column.
        ConfigError: on fewer than 40 resamples.
    """
    logits, labels = checked(logits, labels)
    check_class_names(class_names, num_classes=logits.shape[1])
    if num_resamples < _FEWEST_RESAMPLES:
        raise ConfigError(
            f"evaluation.num_resamples is {num_resamples}, but a 95 % interval needs at least "
            f"{_FEWEST_RESAMPLES} resamples. Set evaluation.num_resamples=1000."
        )
    examples = _Examples(logits, labels)
    macro, losses, calibration_error = examples.bootstrapped(num_resamples=num_resamples, seed=seed)
    return Evaluation(
        class_names=tuple(class_names),
        num_examples=len(labels),
        accuracy=wilson(int(examples.correct.sum()), len(labels)),
        precision_macro=macro[0],
        recall_macro=macro[1],
        f1_macro=macro[2],
        cross_entropy=losses[0],
        brier=losses[1],
        calibration_error=calibration_error,
        per_class=_per_class(examples.confusion, class_names),
        confusion=examples.confusion,
        calibration_bins=examples.bins,
    )


class _Examples:
    """The contribution of each example to every metric, and the metrics from their sums."""

    def __init__(self, logits: np.ndarray, labels: np.ndarray) -> None:
        self.num_classes = logits.shape[1]
        self.labels = labels
        log_probabilities = scores.log_softmax(logits)
        self.predictions = logits.argmax(axis=1)
        self.correct = self.predictions == labels
        self.confidences = np.exp(log_probabilities.max(axis=1))
        one_hot = np.eye(self.num_classes)[labels]
        self.cross_entropies = -log_probabilities[np.arange(len(labels)), labels]
        self.briers = ((np.exp(log_probabilities) - one_hot) ** 2).sum(axis=1)
        self.confusion = scores.confusion_matrix(
            labels, self.predictions, num_classes=self.num_classes
        )
        self.confusion.setflags(write=False)
        bin_of = scores.calibration_bin_of(self.confidences, num_bins=NUM_CALIBRATION_BINS)
        self.in_bin = np.eye(NUM_CALIBRATION_BINS)[bin_of]
        self.bins = scores.calibration_bins(
            self.confidences, self.correct, num_bins=NUM_CALIBRATION_BINS
        )

    def bootstrapped(
        self, *, num_resamples: int, seed: int
    ) -> tuple[list[Estimate], list[Estimate], Estimate]:
        """Macro precision, recall and F1; cross-entropy and Brier score; calibration error."""
        n, k = len(self.labels), self.num_classes
        sums = resampled_sums(self._columns(), num_resamples=num_resamples, seed=seed)
        hits, predicted, support, losses, gaps = np.split(
            sums, [k, 2 * k, 3 * k, 3 * k + 2], axis=1
        )
        resampled = scores.precision_recall_f1(hits, predicted=predicted, support=support)
        measured = scores.precision_recall_f1(
            self.confusion.diagonal(),
            predicted=self.confusion.sum(axis=0),
            support=self.confusion.sum(axis=1),
        )
        macro = [
            percentile(float(value.mean()), resamples.mean(axis=1), n=n)
            for value, resamples in zip(measured, resampled, strict=True)
        ]
        means = [
            percentile(float(each.mean()), losses[:, i] / n, n=n)
            for i, each in enumerate((self.cross_entropies, self.briers))
        ]
        error = calibration_error_interval(
            scores.expected_calibration_error(self.bins),
            np.abs(gaps).sum(axis=1) / n,
            if_calibrated=errors_if_calibrated(
                self.confidences, self.in_bin, num_resamples=num_resamples, seed=seed
            ),
            n=n,
        )
        return macro, means, error

    def _columns(self) -> np.ndarray:
        """Return ``[N, 3 K + 2 + bins]``: hit, predicted and true class; losses; gap in its bin."""
        classes = np.eye(self.num_classes)
        predicted, support = classes[self.predictions], classes[self.labels]
        gaps = self.in_bin * (self.correct - self.confidences)[:, None]
        losses = np.stack([self.cross_entropies, self.briers], axis=1)
        return np.concatenate([predicted * support, predicted, support, losses, gaps], axis=1)


def _per_class(confusion: np.ndarray, class_names: Sequence[str]) -> tuple[ClassScores, ...]:
    counts = zip(
        class_names,
        confusion.diagonal().tolist(),
        confusion.sum(axis=0).tolist(),
        confusion.sum(axis=1).tolist(),
        strict=True,
    )
    return tuple(
        ClassScores(
            name=name,
            support=support,
            precision=wilson(hits, predicted),
            recall=wilson(hits, support),
            f1=wilson_f1(hits, predicted=predicted, support=support),
        )
        for name, hits, predicted, support in counts
    )


def flatten(evaluation: Evaluation, *, prefix: str = "test/") -> dict[str, float]:
    """Name every number for a tracker: ``test/accuracy``, ``test/accuracy_low``, ….

    Class scores are ``test/f1/<class>`` and so on. Every character of the class name that is not an
    ASCII letter, digit, ``_``, ``-`` or ``.`` becomes ``_``. Where two names are then equal or one
    is empty, all begin with their index, as in ``test/f1/3_dress``.
    """
    numbers: dict[str, float] = {f"{prefix}num_examples": float(evaluation.num_examples)}
    for name in (
        "accuracy",
        "cross_entropy",
        "f1_macro",
        "precision_macro",
        "recall_macro",
        "calibration_error",
        "brier",
    ):
        numbers |= _named(f"{prefix}{name}", getattr(evaluation, name))
    for name, each in zip(_safe_names(evaluation.class_names), evaluation.per_class, strict=True):
        for metric in ("f1", "precision", "recall"):
            numbers[f"{prefix}{metric}/{name}"] = getattr(each, metric).value
    return numbers


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _safe_names(class_names: Sequence[str]) -> list[str]:
    safe = [re.sub(r"[^A-Za-z0-9_.-]", "_", name) for name in class_names]
    if len(set(safe)) == len(safe) and all(name.strip("_.") for name in safe):
        return safe
    return [f"{index}_{name}" for index, name in enumerate(safe)]
