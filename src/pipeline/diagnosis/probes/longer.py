"""Training on as it was: does the model improve, or only memorize its training images?"""

from __future__ import annotations

from dataclasses import replace

from pipeline.diagnosis.measured import probability
from pipeline.diagnosis.probes.evidence import evidence, weighed
from pipeline.diagnosis.probes.outcome import Outcome
from pipeline.diagnosis.record import Condition, ProbeEvidence


def judge(outcome: Outcome) -> list[ProbeEvidence]:
    """Judge the fork at the run's own rate against the kept weights.

    A rise is evidence for overfitting only where the kept weights are the last ones: the loss of a
    run that was stopped at its best epoch would rise too, and nothing is wrong with it.
    """
    before, same, after = outcome.before, outcome.rates[1.0], f"in {outcome.length} more"
    val = outcome.fall(
        before, same, key="fork_val_loss_fall", words=f"fall of the validation loss {after}"
    )
    train = outcome.fall(
        before,
        same,
        part="train",
        key="fork_train_loss_fall",
        words=f"fall of the training loss {after}",
    )
    rise = replace(
        val,
        value=-val.value,
        key="fork_val_loss_rise",
        words=f"rise of the validation loss {after}",
    )
    rises_in_vain = (
        rise.condition("above", 0.05, grey=0.015),
        train.condition("above", 0.05, grey=0.015),
    )
    falls = val.condition("above", 0.03, grey=0.01)
    found = [weighed("undertrained", [still_falling(outcome)])]
    if outcome.kept_is_last and probability(rises_in_vain) >= 0.5:
        found.append(evidence("overfitting", "for", rises_in_vain))
    elif falls.probability >= 0.5:
        found.append(evidence("overfitting", "against", [falls]))
    return found


def still_falling(outcome: Outcome) -> Condition:
    """Return the condition that training on lowers the validation loss by much."""
    words = f"fall of the validation loss in {outcome.length} more"
    fall = outcome.fall(outcome.before, outcome.rates[1.0], key="fork_val_loss_fall", words=words)
    return fall.condition("above", 0.1, grey=0.03)
