"""Training on as it was: does the model become better, or only more certain of its training images?"""

from __future__ import annotations

from pipeline.diagnosis.finding import Condition, above
from pipeline.diagnosis.probes.evidence import Evidence, weighed
from pipeline.diagnosis.probes.outcome import Outcome


def judge(outcome: Outcome) -> list[Evidence]:
    """Judge the fork at the run's own rate against the kept weights.

    A rise speaks for overfitting only where the kept weights are the last ones: a run that was stopped
    at its best epoch would rise too, and nothing is wrong with it.
    """
    same = outcome.rates[1.0]
    val = outcome.fall(outcome.before, same)
    train = outcome.fall(outcome.before, same, part="train")
    after = f"in {outcome.length} more"
    found = [weighed("undertrained", [still_falling(outcome)])]
    rise = above(f"rise of the validation loss {after}", -val.value, limit=0.05, grey=0.015, error=val.error)
    learnt = above(
        f"fall of the training loss {after}", train.value, limit=0.05, grey=0.015, error=train.error
    )
    falls = above(f"fall of the validation loss {after}", val.value, limit=0.03, grey=0.01, error=val.error)
    if outcome.kept_is_last and min(rise.probability, learnt.probability) >= 0.5:
        found.append(Evidence("overfitting", "for", (rise, learnt)))
    elif falls.probability >= 0.5:
        found.append(Evidence("overfitting", "against", (falls,)))
    return found


def still_falling(outcome: Outcome) -> Condition:
    """Training on as it was lowers the validation loss by much."""
    fall = outcome.fall(outcome.before, outcome.rates[1.0])
    return above(
        f"fall of the validation loss in {outcome.length} more",
        fall.value,
        limit=0.1,
        grey=0.03,
        error=fall.error,
    )
