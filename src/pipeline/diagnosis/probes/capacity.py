"""Twice the units, added to the trained network: is it their number that holds the loss up?"""

from __future__ import annotations

from pipeline.diagnosis.finding import above
from pipeline.diagnosis.probes.evidence import Evidence, weighed
from pipeline.diagnosis.probes.outcome import Outcome


def judge(outcome: Outcome) -> list[Evidence]:
    """Judge the wider network against the same one, trained on for as long from the same function.

    Both losses have to fall: training loss alone falls for every wider network.
    """
    if outcome.wider is None:
        return []
    same = outcome.rates[1.0]
    conditions = [
        above(
            f"{name} loss with twice the units, below that with the same ones, after {outcome.epochs:.3g} epochs",
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
    return [weighed("underfitting", conditions)]
