"""The numbers and figures that the tests of `pipeline.reporting` draw."""

from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.diagnosis.history import Context, History
from pipeline.diagnosis.paired_trials import CONFIRMED, NOT_CONFIRMED, Judged
from pipeline.diagnosis.proof import Claim, Verification
from pipeline.evaluation import evaluate
from pipeline.evaluation.generalization import GeneralizationRow
from pipeline.evaluation.intervals import wilson
from pipeline.records import EpochRecord, Estimate, SignalRecord
from pipeline.reporting import (
    comparison,
    confusion,
    evidence_curves,
    forest,
    generalization,
    layer_maps,
    learning_curves,
    mistakes,
    per_class,
    reliability,
)
from pipeline.reporting.style import WIDE

SPACE = "\N{NO-BREAK SPACE}"
CLASSES = ["T-shirt/top", "<b>Coat</b>", "Bag"]
_GENERATOR = np.random.default_rng(0)
_LABELS = _GENERATOR.integers(3, size=80)
_LOGITS = _GENERATOR.normal(size=(80, 3)) + 2 * np.eye(3)[_LABELS]
EVALUATION = evaluate(_LOGITS, _LABELS, class_names=CLASSES, num_resamples=1000)


def epoch(index: int, val_loss: float) -> EpochRecord:
    """An epoch whose training loss is 1, 1/2, 1/3, …"""
    metrics = {"train/loss": 1 / (index + 1), "val/loss": val_loss}
    accuracies = {"train/accuracy": 0.9, "val/accuracy": 0.8}
    return EpochRecord(epoch=index, step=10 * index, metrics=metrics | accuracies)


HISTORY = [epoch(i, val_loss) for i, val_loss in enumerate([1.0, 0.4, 0.6])]
ROWS = [
    GeneralizationRow("test", 0, wilson(90, 100)),
    GeneralizationRow("shift", 1, wilson(80, 100)),
    GeneralizationRow("shift", 3, wilson(50, 100)),
    GeneralizationRow("digits", None, wilson(60, 100)),
]
SIGNALS = SignalRecord(
    arrays={
        "epochs": np.array([-1, 0, 1, 2]),
        "layers/num_weights": np.array([4, 100]),
        "layers/gradient_norm": np.array([[2.0, 10.0], [0.2, np.nan], [0.02, 1.0], [0.0, 1.0]]),
        "units/dead": np.array([[0.0], [0.25], [0.5], [0.5]]),
        "train/loss_per_example": np.array([[1.0, 3.0], [0.9, 1.1], [0.5, 0.5], [0.3, 0.4]]),
        "val/correct": np.array([[0, 1], [1, 1], [1, 0], [1, 1]], dtype=bool),
    },
    metadata={
        "layers": json.dumps(["first", "output"]),
        "activations": json.dumps([{"name": "act", "kind": "relu", "layer": "first"}]),
    },
)


def judged(name: str, verdict: str, reduction: Estimate, seeds_needed: int | None) -> Judged:
    return Judged(name, (), verdict, reduction, 0.01, 0.25, (), seeds_needed, (), ())


VERIFICATION = Verification(
    name="cnn",
    symptom="overfitting",
    sentence="<proof>",
    seeds=5,
    undecided=None,
    arms=(
        judged("more_data", CONFIRMED, Estimate(0.2, 0.1, 0.3, 5), None),
        judged("<l2>", NOT_CONFIRMED, Estimate(-0.004, -0.02, 0.01, 5), 40),
    ),
    reseed=Estimate(0.0, -0.1, 0.1, 5),
    random=Estimate(0.05, -0.2, 0.2, 5),
    claim=Claim(
        arm="more_data",
        remedy=Estimate(0.18, 0.12, 0.24, 5),
        reseed=Estimate(0.0, -0.1, 0.1, 5),
        random=Estimate(0.0, -0.1, 0.1, 5),
    ),
    experiment="<e>",
    studies={},
)


def draw_curves(width: float = WIDE) -> Figure:
    history = History.of(HISTORY, SIGNALS, Context(num_classes=3), name="x")
    return evidence_curves.plot(history, decided=[(1, 3), (3, 3), (3, 3)], width=width)


def draw_forest(width: float = WIDE) -> Figure:
    return forest.plot(forest.rows_of(VERIFICATION), title="t", width=width)


def draw_gradients() -> Figure:
    gradients = layer_maps.gradient_map(SIGNALS)
    assert gradients is not None
    return layer_maps.plot(gradients, width=WIDE)


def draw_mistakes(count: int = 7, *, channels: int = 1) -> Figure:
    images = np.random.default_rng(0).integers(256, size=(count, channels, 28, 28)).astype(np.uint8)
    zeros, ones = np.zeros(count, int), np.ones(count, int)
    sure = np.full(count, 0.99997)
    return mistakes.plot(images, zeros, predictions=ones, confidences=sure, class_names=CLASSES)


PLOTS = {
    "learning_curves": lambda: learning_curves.plot(HISTORY),
    "confusion": lambda: confusion.plot(EVALUATION.confusion, class_names=CLASSES),
    "reliability": lambda: reliability.plot(EVALUATION.calibration_bins),
    "mistakes": draw_mistakes,
    "per_class": lambda: per_class.plot(EVALUATION),
    "generalization": lambda: generalization.plot(ROWS),
    "comparison": lambda: comparison.plot([("a", wilson(90, 100)), ("b", wilson(95, 100))]),
    "evidence_curves": draw_curves,
    "gradient_flow": draw_gradients,
    "verification": draw_forest,
}


def texts(figure: Figure) -> list[str]:
    """Every text inside the axes of a figure."""
    found = [text for axes in figure.axes for text in axes.findobj(mpl.text.Text)]
    return [text.get_text() for text in found if text.get_text()]
