"""A loss that stopped being a number: which one, from where on, and whether the steps lost it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.diagnosis.record import Evidence

WORDS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Lost:
    """Where one loss was not finite.

    part: train or val.  first: index of the point from which on it never was; of the first such
    point where it came back.  back: whether it did.  never: whether it was finite at no point.
    """

    part: str
    first: int
    back: bool
    never: bool


def marked(losses: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the losses with infinity where training lost them all, up to the end.

    NaN stands for a loss that was lost, and for a point at which none was logged. It means the
    first where no loss has a number from a point on, for longer than ever before. A loss without
    any number was recorded, so it was lost.

    losses: part → ``[E]``, NaN where there is no number.
    """
    found = {part: np.asarray(y, dtype=np.float64) for part, y in losses.items()}
    for part, y in found.items():
        if len(y) and np.isnan(y).all():
            found[part] = np.full(len(y), np.inf)
    if not found or not len(next(iter(found.values()))):
        return found
    there = np.any([np.isfinite(y) for y in found.values()], axis=0)
    numbers = np.flatnonzero(there)
    if not len(numbers) or numbers[-1] == len(there) - 1:
        return found
    start = int(numbers[-1]) + 1
    longest = int(np.diff(numbers, prepend=-1).max()) - 1  # points in a row without any loss before
    if len(there) - start > longest:
        for part, y in found.items():
            found[part] = np.where((np.arange(len(y)) >= start) & np.isnan(y), np.inf, y)
    return found


def lost_losses(losses: Mapping[str, np.ndarray]) -> tuple[Lost, ...]:
    """Return what was lost of each loss, as far as anything was.

    losses: part → ``[E]``, infinite where it was lost, NaN where it was not logged.
    """
    return tuple(_lost(part, y) for part, y in losses.items() if np.isinf(y).any())


def _lost(part: str, loss: np.ndarray) -> Lost:
    finite, lost = np.flatnonzero(np.isfinite(loss)), np.flatnonzero(np.isinf(loss))
    if not len(finite):
        return Lost(part, int(lost[0]), back=False, never=True)
    after = lost[lost > finite[-1]]
    return Lost(part, int(lost[0] if not len(after) else after[0]), not len(after), never=False)


def is_lost(losses: Mapping[str, np.ndarray]) -> bool:
    """Return whether the steps lost the loss, so that no weight is a number any more.

    Both losses end as infinite, or the only one does. One that was finite later, or that measured
    the same weights, shows that the weights are numbers: then only the other one's data or formula
    is broken. A validation loss that is lost at the last point of a training loss shows nothing.
    """
    lost = {each.part: each for each in lost_losses(losses) if not each.back}
    sound = [part for part, y in losses.items() if part not in lost and np.isfinite(y).any()]
    if not lost or not sound:
        return bool(lost)
    (other,), (gone,) = sound, lost.values()
    return int(np.flatnonzero(np.isfinite(losses[other]))[-1]) < gone.first


def evidence(losses: Mapping[str, np.ndarray], history: History) -> tuple[Evidence, ...]:
    """Return `in_words` as evidence, with the epochs of the history."""
    unit = "point" if history.context.train_by_step else "epoch"
    told = in_words(losses, list(history.epochs + 1), unit=unit)
    return tuple(Evidence("lost", text, 0.0) for text in told)


def in_words(losses: Mapping[str, np.ndarray], numbers: Sequence[int], *, unit: str) -> list[str]:
    """Return sentences on where losses were lost, and on what they were before.

    numbers: ``[E]``, of the points as people count them.  unit: epoch or point.
    """
    found = lost_losses(losses)
    gone = [each for each in found if not each.back]
    said = [_came_back(each, losses, numbers, unit) for each in found if each.back]
    if not gone:
        return said
    if len(losses) == len(gone) and all(each.never for each in gone):
        return ["No loss was ever a finite number.", *said]
    ends = {each.first for each in gone if not each.never}
    if len(losses) == len(gone) == 2 and len(ends) == 1 and not any(each.never for each in gone):
        start = f"No loss is a finite number from {unit} {numbers[gone[0].first]} on."
        return [start, *said, *_before(losses, gone)]
    places = [
        f"the {WORDS[each.part]} loss "
        + ("was never a finite number" if each.never else
           f"is no finite number from {unit} {numbers[each.first]} on")
        for each in gone
    ]  # fmt: skip
    whole = " and ".join(places)
    return [f"{whole[0].upper()}{whole[1:]}.", *said, *_before(losses, gone)]


def advice(losses: Mapping[str, np.ndarray]) -> str:
    """Return where to look where one loss was lost and the weights may be numbers; else nothing."""
    gone = [each for each in lost_losses(losses) if not each.back]
    if not gone or is_lost(losses):
        return ""
    if gone[0].part == "train":
        return (
            "The validation loss is finite, so the weights are. Look at how the training loss is "
            "computed and averaged."
        )
    if np.flatnonzero(np.isfinite(losses["train"]))[-1] > gone[0].first:
        return (
            "The training loss is finite after that, so the weights are. Look at the validation "
            "data, and at how their loss is computed."
        )
    return "One more epoch tells whether the weights are lost, or only this loss."


def _came_back(
    lost: Lost, losses: Mapping[str, np.ndarray], numbers: Sequence[int], unit: str
) -> str:
    count = int(np.isinf(losses[lost.part]).sum())
    where = f"at {unit} {numbers[lost.first]}"
    if count > 1:
        where = f"at {count} {unit}s, first {where}"
    return f"The {WORDS[lost.part]} loss is no finite number {where}, and one again after it."


def _before(losses: Mapping[str, np.ndarray], gone: Sequence[Lost]) -> list[str]:
    """What the first loss with a number was before all were lost."""
    each = next((each for each in gone if not each.never), None)
    if each is None or len(gone) < len(losses):
        return []
    finite = losses[each.part][np.isfinite(losses[each.part])]
    first, last = f"{finite[0]:.3g}", f"{finite[-1]:.3g}"
    name = f"Before that, the {WORDS[each.part]} loss"
    if first == last:
        return [f"{name} was {last}."]
    return [f"{name} had {'fallen' if finite[-1] < finite[0] else 'risen'} from {first} to {last}."]
