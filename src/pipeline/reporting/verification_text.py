"""A verification and a healing as text in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from pipeline.diagnosis.foreign_proof import ForeignArm, ForeignProof
from pipeline.diagnosis.paired_trials import MOST_SEEDS, NOT_CONFIRMED, Judged
from pipeline.diagnosis.proof import Healing, Round, Verification
from pipeline.diagnosis.record import UNDETERMINED
from pipeline.reporting.console import console
from pipeline.reporting.sentences import change, p_heading, plain_percent, words


def plan_line(
    name: str, *, remedies: int, runs: int, known: int, left_s: float | None, num_jobs: int | None
) -> str:
    """Return what a verification will train, as it begins.

    remedies: how many, combinations counted.  known: runs that earlier calls have finished.
    left_s: seconds for the rest; None if unknown.  num_jobs: side by side on this machine; None
    where other machines train.
    """
    noun = "remedy" if remedies == 1 else "remedies"
    line = f"{name}: {remedies} {noun} and the controls, {runs} runs"
    if known:
        some = f"all {runs}" if known == runs else f"{known} of {runs}"
        line += f"; {some} runs are known from earlier calls"
    if left_s is None or num_jobs is None or known == runs:
        return line
    rest = f" for {runs - known} runs" if known else ""
    return f"{line}; {about(left_s)}{rest} with n_jobs={num_jobs}"


def early_lines(
    name: str,
    *,
    remedies: Sequence[str],
    least: int,
    most: int,
    times_s: Sequence[float] | None,
) -> str:
    """Return how ``stop=early`` works, as it begins, in two lines.

    least, most: runs in all, where the first remedy is clear and where nothing decides.
    times_s: seconds of the least and the most; None where they are not known.
    """
    time, longest = ("", "") if times_s is None else (f", {about(s)}" for s in times_s)
    order = "" if len(remedies) == 1 else ", one after the other until one is enough"
    return (
        f"{name}: tries {', '.join(remedies)}{order}. A pair is two runs with the same seed: as it "
        "was, and with the remedy. Pairs are added until they decide.\n"
        f"{name}: a clear first remedy takes {least} runs with its controls{time}; {most} runs are "
        f"the most{longest}"
    )


def step_line(doing: str, *, runs: int, known: int, left_s: float | None, most_after: int) -> str:
    """Return one step of ``stop=early``, as it begins.

    known: of its runs, that earlier calls have finished.  left_s: seconds to the decision.
    most_after: runs that may follow.
    """
    line = f"now {doing}: {runs} run{'s' * (runs > 1)}"
    if known:
        line += f", {'all' if known == runs else f'{known} of them'} known from earlier calls"
    if left_s is not None and known < runs:
        line += f", {about(left_s)} to the next decision"
    return line + (f"; at most {most_after} may follow" if most_after else "; the last ones")


def about(seconds: float) -> str:
    """Return a time that is only estimated: ``about 40 s``, ``about 2 h 10 min``."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes:02} min" if hours else f"about {minutes} min"


def show_verification(verification: Verification) -> None:
    """Print the arms, the sentence, and the command that trains the proved configuration."""
    shown = console()
    shown.print(_table(verification))
    for note in _notes(verification):
        shown.print(note)
    shown.print(verification.sentence)
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
    shown = console()
    shown.print(table)
    for line in (*proof.notes, proof.sentence):
        shown.print(line, soft_wrap=True)


def _more_seeds(arm: Judged | ForeignArm) -> str:
    """Return how many seeds an undecided arm needs, as the end of its verdict.

    An arm that looks no better has no such end: nobody should train more of it.
    """
    if arm.verdict != NOT_CONFIRMED or arm.improvement.value <= 0:
        return ""
    needed = f"about {arm.seeds_needed}" if arm.seeds_needed else f"more than {MOST_SEEDS}"
    return f", needs {needed} seeds"


def show_healing(healing: Healing) -> None:
    """Print the end of a healing, and the command that trains the result.

    Its rounds were printed as each of them ended.
    """
    shown = console()
    is_open = healing.verdict == UNDETERMINED
    sure = "" if healing.confidence is None or is_open else f" ({healing.confidence:.2f})"
    end = "without a verdict there is no remedy to prove" if is_open else healing.end
    shown.print(f"{healing.name}: {words(healing.verdict)} now{sure}; ended: {end}")
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
        print("Train it, under a name of your choice:")
        print(f"pipeline train experiment={experiment}")


def _table(verification: Verification) -> Table:
    table = Table(box=None, pad_edge=False)
    p = p_heading(verification)
    table.add_column("arm", no_wrap=True)  # a person copies it into remedies=
    for heading in ("fall of validation loss", p, "verdict", "symptom still there"):
        table.add_column(heading)
    for arm in verification.arms:
        table.add_row(
            arm.name,
            plain_percent(arm.improvement),
            f"{arm.p_value:.2g}",
            _verdict(arm),
            f"{100 * arm.symptom_share:.0f} %",
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
