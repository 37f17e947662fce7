"""Facts that need no model: a lost loss, no error at all, curves that never move, equal answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from pipeline.diagnosis.learned.model import Judged
from pipeline.diagnosis.record import DOES_NOT_FIT, HEALTHY, UNSTABLE

CERTAIN = 0.95  # the probability of a verdict that follows from a fact
# Of an accuracy below the second share whose values differ by less than the first, over so many
# points: every answer was the same.
ALIKE, NEARLY_ALL, LEAST_POINTS_ALIKE = 0.005, 0.97, 4
STILL = 0.002  # a curve that moves by less does not move
# A whole run whose losses end and stay less than the first share below their start, and whose
# accuracies move by less than the second: 99 % of such logs of the corpus do not fit (n=802).
NO_FALL, NO_GAIN = 0.02, 0.02


def guarded(judged: Judged, found: Mapping[str, float]) -> Judged:
    """Put facts that need no model before it: a loss that was lost, curves that never move."""
    if found["lost"]:
        certain = (UNSTABLE, "learning_rate_too_high")
    elif found["perfect"]:
        return _fits(judged)
    elif _stands_still(found):
        certain = (DOES_NOT_FIT, "not_learning")
    else:
        return _not_healthy(judged) if _answers_alike(found) else judged
    before = judged.classes.get(certain, 0.0)
    if before >= CERTAIN:
        return judged
    mixed = {each: p * (1 - CERTAIN) / (1 - before) for each, p in judged.classes.items()}
    return replace(judged, classes={**mixed, certain: CERTAIN})


def guarded_at_end(judged: Judged, found: Mapping[str, float]) -> Judged:
    """Put the facts before a model's verdict on a whole run.

    A run that ends where it began does not fit, whatever its noise; of the faults that do so, the
    model says which. While a run goes on this is no fact: it may still begin to learn.
    """
    judged = guarded(judged, found)
    before = judged.families.get(DOES_NOT_FIT, 0.0)
    if found["lost"] or before >= CERTAIN or before == 0.0 or not _ends_where_it_began(found):
        return judged
    inside, outside = CERTAIN / before, (1 - CERTAIN) / (1 - before)
    moved = {
        each: p * (inside if each[0] == DOES_NOT_FIT else outside)
        for each, p in judged.classes.items()
    }
    return replace(judged, classes=moved)


def _ends_where_it_began(found: Mapping[str, float]) -> bool:
    """Whether the training loss is there and no curve has come further than noise may."""
    if math.isnan(found["train_fall"]) or found["points"] < math.log(LEAST_POINTS_ALIKE):
        return False
    moves = [
        *(found[f"{p}_fall"] / NO_FALL for p in ("train", "val")),
        *(abs(found[f"{p}_end_fall"]) / NO_FALL for p in ("train", "val")),
        *(found[f"{p}_accuracy_range"] / NO_GAIN for p in ("train", "val")),
    ]
    return not any(move >= 1 for move in moves) and not found["val_accuracy"] >= NEARLY_ALL


def _answers_alike(found: Mapping[str, float]) -> bool:
    """Whether the validation accuracy never moved, as where every answer is the largest class."""
    certain_points = found["points"] >= math.log(LEAST_POINTS_ALIKE)
    return (
        certain_points
        and found["val_accuracy_range"] < ALIKE
        and found["val_accuracy"] < NEARLY_ALL
    )


def _fits(judged: Judged) -> Judged:
    """What had no error on its training part at any point does fit it."""
    others = 1 - judged.families.get(DOES_NOT_FIT, 0.0)
    if others <= 0:
        return judged
    kept = {e: 0.0 if e[0] == DOES_NOT_FIT else p / others for e, p in judged.classes.items()}
    return replace(judged, classes=kept)


def _not_healthy(judged: Judged) -> Judged:
    """What was thought healthy has not learned."""
    alike = (DOES_NOT_FIT, "not_learning")
    moved = {each: 0.0 if each[0] == HEALTHY else p for each, p in judged.classes.items()}
    moved[alike] = moved.get(alike, 0.0) + judged.families.get(HEALTHY, 0.0)
    return replace(judged, classes=moved)


def _stands_still(found: Mapping[str, float]) -> bool:
    """Whether no curve moved after its first point, as far as curves are there."""
    moves = [
        *(abs(found[f"{p}_{name}"]) for p in ("train", "val") for name in ("late_fall", "noise")),
        *(found[f"{p}_accuracy_range"] for p in ("train", "val")),
    ]
    there = [move for move in moves if not math.isnan(move)]
    return bool(there) and max(there) < STILL
