"""The judgement of a verification: the arm to claim about, and the sentence on the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.diagnosis.paired_trials import CONFIRMED, Judged, nearest_to_decision, seeds_needed
from pipeline.diagnosis.proof import Undecided, Verification
from pipeline.diagnosis.record import HEALTHY, UNDETERMINED
from pipeline.reporting.sentences import lowers, plain_percent, words
from pipeline.verification.plan import num_runs

FEW_SEEDS = 20  # more are needed where runs differ by their seed more than by the remedy


def best_confirmed(judged: Sequence[Judged]) -> Judged | None:
    """Return the confirmed arm to make a claim about; None where no arm is confirmed.

    Arms that remove the symptom from most of their runs come before those that do not.
    """
    confirmed = [j for j in judged if j.verdict == CONFIRMED and j.improvement.value > 0]
    return min(confirmed, key=lambda j: (j.symptom_share > 0.5, -j.improvement.value), default=None)


def concluded(verification: Verification) -> Verification:
    """Return the same verification with its conclusions: the undecided arm, and the sentence."""
    open_arm = undecided(verification)
    return replace(verification, undecided=open_arm, sentence=sentence(verification, open_arm))


def undecided(found: Verification) -> Undecided | None:
    """Return the arm that is nearest to a proof.

    None where a remedy is proved, or where no arm seems to help.
    """
    if found.proved:
        return None
    if found.claim is not None:
        seeds = seeds_needed(found.claim.remedy) if found.claim.remedy.value > 0 else None
        return _undecided(found.claim.arm, seeds)
    near = nearest_to_decision(found.arms)
    return _undecided(near.name, near.seeds_needed) if near else None


def _undecided(arm: str, seeds: int | None) -> Undecided | None:
    return Undecided(arm, seeds, num_runs(1, seeds)) if seeds else None


def sentence(found: Verification, open_arm: Undecided | None) -> str:
    """Return the result in words. open_arm: from `undecided`."""
    if found.claim is None:
        return _nothing_confirmed(found, open_arm)
    if not found.proved:
        return _not_proved(found, open_arm)
    return _proved(found)


def _nothing_confirmed(found: Verification, open_arm: Undecided | None) -> str:
    if open_arm is None:
        return f"{found.name}: no remedy is confirmed over {found.seeds} paired seeds."
    return (
        f"{found.name}: cannot be decided with this budget, {found.seeds} paired seeds. "
        f"{_needs(found.name, open_arm)}"
    )


def _not_proved(found: Verification, open_arm: Undecided | None) -> str:
    assert found.claim is not None
    claim = found.claim
    text = (
        f"{found.name}: {words(claim.arm)} lowers validation loss beyond noise, but test loss by "
        f"{plain_percent(claim.remedy)} over {claim.remedy.n} paired seeds: not proved."
    )
    if open_arm is None:
        return text
    return f"{text} It cannot be decided with this budget. {_needs(found.name, open_arm)}"


def _proved(found: Verification) -> str:
    assert found.claim is not None and found.chosen is not None
    claim = found.claim
    return (
        f"{found.name}: proved: {words(claim.arm)} lowers test loss by "
        f"{plain_percent(claim.remedy)} over {claim.remedy.n} paired seeds; "
        f"a reseed changes it by {plain_percent(claim.reseed)}, "
        f"random search of equal cost {lowers(claim.random)}. {_symptom_now(found, found.chosen)}"
    ).rstrip()


def _symptom_now(found: Verification, chosen: Judged) -> str:
    """Return how many runs with the remedy still have the verdict of the run as it was."""
    if found.symptom == HEALTHY:
        return ""
    num = chosen.improvement.n
    still = round(chosen.symptom_share * num)
    if not still:
        gone = "The verdict is no longer undetermined."
        return (
            gone
            if found.symptom == UNDETERMINED
            else f"{words(found.symptom).capitalize()} is gone."
        )
    more = ", so more may be gained" if chosen.symptom_share > 0.5 else ""
    verb = "is" if still == 1 else "are"
    return f"{still} of {num} runs with it {verb} still {words(found.symptom)}{more}."


def _needs(name: str, open_arm: Undecided) -> str:
    text = (
        f"{words(open_arm.arm).capitalize()} needs about {open_arm.seeds} seeds: "
        f"seeds={open_arm.seeds}, {open_arm.runs} runs with this remedy alone."
    )
    if open_arm.seeds <= FEW_SEEDS:
        return text
    return (
        f"{text} Runs differ much by their seed alone. Train {name} again so that they differ "
        "less, then verify: schedule=cosine, a lower rate, or trainer.keep=best."
    )
