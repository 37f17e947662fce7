"""A verification and a healing as text in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from pipeline.diagnosis.foreign_proof import ForeignArm, ForeignProof
from pipeline.diagnosis.paired_trials import MOST_SEEDS, NOT_CONFIRMED, Judged
from pipeline.diagnosis.proof import Healing, Round, Verification
from pipeline.reporting.sentences import change, plain_percent, words


def show_verification(verification: Verification) -> None:
    """Print the arms, the sentence, and the command that trains the proved configuration."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(_table(verification))
    for note in _notes(verification):
        console.print(note)
    console.print(verification.sentence)
    _print_command(verification.experiment)


def show_command(proof: ForeignProof) -> None:
    """Print the arms of a command's verification, its notes, and the sentence."""
    table = Table(box=None, pad_edge=False)
    table.add_column("arm", no_wrap=True)
    for heading in (f"gain of {proof.metric}", "p (Holm)", "pairs", "verdict"):
        table.add_column(heading)
    for arm in proof.arms:
        gain, pairs = change(arm.improvement, proof.scale), str(arm.improvement.n)
        verdict = f"{arm.verdict}{_more_seeds(arm)}"
        table.add_row(arm.name, gain, f"{arm.p_value:.2g}", pairs, verdict)
    for name, control in (("reseeded", proof.reseed), ("random search", proof.random)):
        if control is not None:
            table.add_row(f"control: {name}", change(control, proof.scale), "", str(control.n), "")
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(table)
    for line in (*proof.notes, proof.sentence):
        console.print(line, soft_wrap=True)


def _more_seeds(arm: Judged | ForeignArm) -> str:
    """Return how many seeds an undecided arm needs, as the end of its verdict.

    An arm that looks no better has no such end: nobody should train more of it.
    """
    if arm.verdict != NOT_CONFIRMED or arm.improvement.value <= 0:
        return ""
    needed = f"about {arm.seeds_needed}" if arm.seeds_needed else f"more than {MOST_SEEDS}"
    return f", needs {needed} seeds"


def show_healing(healing: Healing) -> None:
    """Print the end of a healing, its rounds, and the command that trains the result."""
    console = Console(highlight=False, markup=False, emoji=False)
    confidence = "" if healing.confidence is None else f" ({healing.confidence:.2f})"
    console.print(f"{healing.name}: {words(healing.verdict)} now{confidence}; ended: {healing.end}")
    for number, step in enumerate(healing.steps, start=1):
        console.print(f"  {round_line(number, step)}")
    _print_command(healing.experiment)


def round_line(number: int, step: Round) -> str:
    """Return one round of a healing in a line. number: 1-based."""
    verdict = f"round {number}: {words(step.verdict)} ({step.confidence:.2f})"
    if step.adopted is None:
        return f"{verdict}; {step.proof}"
    return (
        f"{verdict} → {words(step.adopted)} ({' '.join(step.overrides)}): "
        f"test loss falls by {step.proof}"
    )


def _print_command(experiment: str | None) -> None:
    """Print a command without wrapping it, so that it can be pasted."""
    if experiment:
        print(f"pipeline train experiment={experiment}")


def _table(verification: Verification) -> Table:
    table = Table(box=None, pad_edge=False)
    p = "p (Holm)" if verification.stop == "fixed" else "p (at any time)"
    table.add_column("arm", no_wrap=True)  # a person copies it into remedies=
    for heading in ("fall of validation loss", p, "verdict", "symptom still there"):
        table.add_column(heading)
    for arm in verification.arms:
        table.add_row(
            arm.name,
            plain_percent(arm.improvement),
            f"{arm.p_value:.2g}",
            _verdict(arm),
            f"{arm.symptom_share:.0%}",
        )
    for name, control in (
        ("reseeded", verification.reseed),
        ("random search", verification.random),
    ):
        if control is not None:
            table.add_row(f"control: {name}", plain_percent(control), "", "", "")
    return table


def _notes(verification: Verification) -> Iterator[str]:
    """Yield what a verification that stopped early did not run."""
    if verification.untried:
        yield f"Not tried, since they were not needed: {', '.join(verification.untried)}."
    if verification.stop == "early" and verification.reseed is None:
        yield "The controls were not run, since no remedy is confirmed."


def _verdict(arm: Judged) -> str:
    """Return the verdict on an arm, with the reason where it is not a better one."""
    if arm.new_symptoms:
        return f"{arm.verdict}, new: {', '.join(map(words, arm.new_symptoms))}"
    return f"{arm.verdict}{_more_seeds(arm)}"
