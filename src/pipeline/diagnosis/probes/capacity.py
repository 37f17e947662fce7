"""Twice the units, added to the trained network: is it their number that holds the loss up?"""

from __future__ import annotations

from pipeline.diagnosis.finding import above
from pipeline.diagnosis.probes.evidence import Evidence, weighed
from pipeline.diagnosis.probes.longer import still_falling
from pipeline.diagnosis.probes.outcome import Outcome


def judge(outcome: Outcome) -> list[Evidence]:
    """Judge the wider network against the same one, trained on for as long from the same function.

    Both losses have to fall: training loss alone falls for every wider network. Of a run that still falls fast
    a gain says nothing: wider networks are ahead for as long as that.
    """
    if outcome.wider is None:
        return []
    same = outcome.rates[1.0]
    conditions = [
        above(
            f"{name} loss with twice the units, below that with the same ones, after {outcome.length}",
            fall.value,
            limit=0.08,
            grey=0.025,
            error=fall.error,
        )
        for name, fall in (
            ("validation", outcome.fall(same, outcome.wider)),
            ("training", outcome.fall(same, outcome.wider, part="train")),
        )
    ]
    found = weighed("underfitting", conditions)
    if found.points == "for" and still_falling(outcome).probability >= 0.5:
        return []
    return [found]
