"""What probes say, for the terminal: the evidence, and what it changed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.diagnosis.probes import Evidence, Settled
from pipeline.diagnosis.probes.settle import Change
from pipeline.diagnosis.verdict import STANDS
from pipeline.reporting.diagnosis_text import sentence, words


def show(settled: Settled, *, console: Console | None = None) -> None:
    """Print one line for each verdict that the probes bear upon, then the sentence of what they changed."""
    console = console or Console(highlight=False, soft_wrap=False)
    console.print(Text("Probes", style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for evidence, change in zip(settled.evidence, settled.changes, strict=True):
        table.add_row(f"  {_side(evidence)}", Text("; ".join(sentence(c) for c in evidence.conditions)))
        table.add_row("", Text(moved(change), style="dim"))
    console.print(table)
    console.print(f"  {summary(settled)}")


def moved(change: Change) -> str:
    """By how much a probability changed."""
    before = "not judged by curves" if change.before is None else f"{change.before:.2f}"
    return f"{before} -> {change.after:.2f}"


def summary(settled: Settled) -> str:
    """What the probes changed, in one sentence."""
    before, after = settled.before, settled.after
    if before.verdict == after.verdict:
        return (
            f"The probes leave the verdict as it was: {words(after.verdict)}, "
            f"confidence {before.confidence:.2f} -> {after.confidence:.2f}."
        )
    return (
        f"By its curves the run was {words(before.verdict)} ({before.confidence:.2f}); "
        f"with the probes it is {words(after.verdict)} ({after.confidence:.2f})."
    )


def _side(evidence: Evidence) -> str:
    """Which way the evidence points; less than 3 to 2 points nowhere."""
    points = evidence.points if evidence.probability >= STANDS else "open:"
    return f"{points} {words(evidence.verdict)}"
