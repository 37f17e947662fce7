"""Looks at the curves of a running training, and speaks once a fault has become certain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.diagnosis.history import History
from pipeline.diagnosis.learned.facts import guarded
from pipeline.diagnosis.learned.lost import is_lost
from pipeline.diagnosis.learned.model import Class, Judged
from pipeline.diagnosis.learned.numbers import Curves, numbers
from pipeline.diagnosis.learned.perfect import all_perfect
from pipeline.diagnosis.learned.verdict import curves_of, never_finite, without_broken
from pipeline.diagnosis.live.fast import FastModel, fast_model
from pipeline.diagnosis.live.limits import measured_limits
from pipeline.diagnosis.record import (
    DOES_NOT_FIT,
    FAMILY_WORDS,
    FITS_AND_FAILS,
    UNDETERMINED,
    UNSTABLE,
)

# A run that goes on cannot have stopped too early, so that family is no alarm.
ALARMS = (FITS_AND_FAILS, DOES_NOT_FIT, UNSTABLE)
LEAST_POINTS = 4
IN_A_ROW = 2  # looks that must agree
# Every point is looked at up to here; later the run must grow by a part between two looks. So a
# long run is not looked at more often than the limits allow for.
EVERY_POINT, GROWTH = 40, 1.05
# A verdict is named where it has this share of its family's probability.
CLEAR = 0.7
# The loss of so few validation examples rises by luck. Their accuracy moves in steps of 1 / count.
FEW_EXAMPLES = 30
NOT_LEARNING = "not_learning"


@dataclass(frozen=True)
class Alarm:
    """A fault that has become certain.

    epoch, since: counted from 1.  family: of `ALARMS`, with its probability.
    verdict: the likeliest fault of the family, with its own probability; `UNDETERMINED` where no
    loss was ever finite, which has several causes.
    """

    epoch: int
    since: int
    family: str
    confidence: float
    verdict: str
    verdict_confidence: float

    @property
    def in_words(self) -> str:
        """The fault, or its family where the fault is open."""
        if self.verdict == UNDETERMINED:
            return FAMILY_WORDS[self.family]
        return self.verdict.replace("_", " ")

    @property
    def line(self) -> str:
        """Return ``epoch 7: overfitting since epoch 4 (0.97)``."""
        if self.verdict == UNDETERMINED:
            told = f"{self.in_words} ({self.confidence:.2f})"
            return f"epoch {self.epoch}: {told}: no loss was ever a finite number"
        since = f" since epoch {self.since}" if self.since < self.epoch else ""
        verdict = self.verdict.replace("_", " ")
        if self.verdict_confidence >= CLEAR * self.confidence:
            return f"epoch {self.epoch}: {verdict}{since} ({self.confidence:.2f})"
        likeliest = f", most likely {verdict} ({self.verdict_confidence:.2f})"
        what = FAMILY_WORDS[self.family]
        return f"epoch {self.epoch}: {what}{since} ({self.confidence:.2f}){likeliest}"


@dataclass(frozen=True)
class Look:
    """What the model says of the curves up to a point.

    points: how many.  classes: family and verdict → probability.
    lost: whether training lost the loss.  never: whether no loss was finite before.
    few: whether the validation accuracy shows that it has few examples.
    """

    points: int
    classes: Mapping[Class, float]
    lost: bool
    never: bool = False
    few: bool = False

    @property
    def judged(self) -> Judged:
        """The same without reasons."""
        return Judged(self.classes, {}, 0.0)

    @property
    def alarm(self) -> tuple[str, float]:
        """The likeliest family, and how probable it is that an alarm of it is right.

        No log tells how low its loss could go. So a run does not fit only as far as it has learned
        nothing yet.
        """
        families = self.judged.families
        name = max(families, key=lambda family: families[family])
        if name == DOES_NOT_FIT:
            return name, self.judged.within(name).get(NOT_LEARNING, 0.0)
        return name, 0.0 if name == FITS_AND_FAILS and self.few else families[name]


class LiveJudge:
    """Judges the same training again and again, and gives each family of faults at most once.

    limits: family → the least probability; None for those that come with the package. They are
    such that 3 % of the sound runs on data and networks of other kinds may alarm at any time.
    """

    def __init__(self, limits: Mapping[str, float] | None = None) -> None:
        self.limits = measured_limits().by_family if limits is None else limits
        self.points = 0
        self._looked_at = 0
        self._streak: list[tuple[str, int]] = []
        self._told: set[str] = set()

    def see(self, history: History) -> list[Alarm]:
        """Look at every point since the last call; return what has become certain.

        history: of the training from its first epoch on.
        """
        curves, epochs = curves_of(history), history.epochs + 1
        # The limits were measured with validation: without it only a lost loss is a fact.
        usable = without_broken(curves)
        alone = usable.val_loss is None and usable.val_accuracy is None
        alarms: list[Alarm] = []
        for look in looks(curves, len(epochs), after=self.points, last=self._looked_at):
            self._looked_at = look.points
            if look.lost or not alone:
                alarms += self._judged(look, curves, epochs)
        self.points = max(self.points, len(epochs))
        return alarms

    def _judged(self, look: Look, curves: Curves, epochs: np.ndarray) -> Iterator[Alarm]:
        family, confidence = look.alarm
        epoch = int(epochs[look.points - 1])
        if family not in ALARMS or confidence < (0 if look.lost else self.limits[family]):
            self._streak = []
            return
        if self._streak and self._streak[-1][0] != family:
            self._streak = []
        self._streak.append((family, epoch))
        if family in self._told or not (look.lost or len(self._streak) >= IN_A_ROW):
            return
        self._told.add(family)
        if look.never:
            yield Alarm(epoch, epoch, family, confidence, UNDETERMINED, 0.0)
            return
        named = look.judged.within(family)
        verdict = max(named, key=lambda each: named[each])
        since = self._streak[0][1]
        losses = None if curves.val_loss is None else curves.val_loss[: look.points]
        if family == FITS_AND_FAILS and losses is not None and not np.isnan(losses).all():
            since = int(epochs[np.nanargmin(losses)])
        yield Alarm(epoch, since, family, confidence, verdict, named[verdict])


def looks(
    curves: Curves, count: int, *, after: int = 0, last: int = 0, model: FastModel | None = None
) -> Iterator[Look]:
    """Judge the curves up to every point that is due.

    count: points of the curves.  after: points that were seen before.  last: of the last look.
    model: None for the one that comes with the package.
    """
    model = model or fast_model()
    lost = is_lost(up_to(curves, after).losses)
    for points in range(after + 1, count + 1):
        part, lost_before = up_to(curves, points), lost
        lost = is_lost(part.losses)
        too_early = points < LEAST_POINTS or EVERY_POINT < points < GROWTH * last
        if too_early and (lost_before or not lost):  # a lost loss is a fact, which does not wait
            continue
        last = points
        given = (*part.losses.values(), *part.accuracies.values())
        told = any(np.isfinite(y).any() for y in given)
        if lost or (told and not all_perfect(part.losses, part.accuracies)):
            yield _look(part, points, model)


def up_to(curves: Curves, points: int) -> Curves:
    """Return the first points of curves."""
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
    given = {name: getattr(curves, name) for name in names}
    return replace(curves, **{n: None if y is None else y[:points] for n, y in given.items()})


def _look(curves: Curves, points: int, model: FastModel) -> Look:
    found = numbers(curves)
    classes = guarded(Judged(model.probabilities(found), {}, 0.0), found).classes
    lost = bool(found["lost"])
    return Look(points, classes, lost, lost and never_finite(curves), few=_few_examples(curves))


def _few_examples(curves: Curves) -> bool:
    """Whether the validation accuracy moves in large steps only."""
    accuracy = curves.accuracies.get("val", np.zeros(0))
    steps = np.diff(np.unique(accuracy[np.isfinite(accuracy)].round(3)))
    return bool(len(steps)) and float(steps.min()) > 1 / FEW_EXAMPLES


def strongest(found: Sequence[Look]) -> dict[str, float]:
    """Return family → the highest limit at which these looks would still alarm; 0 for none.

    A loss that was lost needs no limit, so it counts as 1.
    """
    most = dict.fromkeys(ALARMS, 0.0)
    given = [look.alarm for look in found]
    for place in range(len(given) - IN_A_ROW + 1):
        row = given[place : place + IN_A_ROW]
        family = row[0][0]
        if family in most and all(name == family for name, _ in row):
            most[family] = max(most[family], min(confidence for _, confidence in row))
    if any(look.lost for look in found):
        most[UNSTABLE] = 1.0
    return most
