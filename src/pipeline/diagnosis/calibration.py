"""How far a run lies from the runs on which the confidence of the rules was measured.

The rules were judged on ten classes and 320 to 4,000 training images, with 1,000 validation images
and up to 72 epochs (docs/diagnosis-results.md). The images of MNIST count as near.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pipeline.diagnosis.history import History

# What → the range in which the confidence was measured, or is known to hold.
RANGES = {
    "classes": (8.0, 12.0),
    "training images": (300.0, 60_000.0),
    "validation images": (500.0, 10_000.0),
    "epochs": (1.0, 100.0),
}
DECADE = math.log(10)
NEAR = 0.2  # decades; a note is given beyond


def widened(confidence: float, history: History) -> tuple[float, tuple[str, ...]]:
    """Return a confidence that is nearer to 0.5 the farther a run lies, and a note that says so.

    The distance is that beyond `RANGES`, in decades, summed.
    """
    beyond = list(_beyond(history))
    distance = sum(decades for _, decades in beyond)
    if distance < NEAR:
        return confidence, ()
    words = ", ".join(text for text, _ in beyond)
    note = f"Confidence is lowered: it was measured on other runs, and this one has {words}."
    return 0.5 + (confidence - 0.5) * math.exp(-0.7 * distance), (note,)


def _beyond(history: History) -> Iterator[tuple[str, float]]:
    known = history.context
    numbers = {
        "classes": known.num_classes,
        "training images": known.num_train,
        "validation images": known.num_val,
        "epochs": len(history.epochs),
    }
    for what, number in numbers.items():
        low, high = RANGES[what]
        if number and not low <= number <= high:
            yield f"{number:,} {what}", math.log(max(low / number, number / high)) / DECADE
