"""The evidence of probes for the terminal, and how it changed the verdict."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.diagnosis.record import STANDS, Change, ProbedVerdict, ProbeEvidence
from pipeline.reporting.console import console as default_console
from pipeline.reporting.diagnosis_text import sentence, words


def show(probed: ProbedVerdict, *, console: Console | None = None) -> None:
    """Print each evidence with the change of its verdict's probability, then the summary."""
    console = console or default_console()
    console.print(Text("Probes", style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for evidence, change in zip(probed.evidence, probed.changes, strict=True):
        conditions = "; ".join(sentence(c) for c in evidence.conditions)
        table.add_row(f"  {_side(evidence)}", Text(conditions))
        table.add_row("", Text(_probabilities(change), style="dim"))
    console.print(table)
    console.print(f"  {summary(probed)}")


def summary(probed: ProbedVerdict) -> str:
    """Return one sentence: the verdict before and after the probes."""
    before, after = probed.confidence_by_curves, probed.confidence
    if probed.verdict_by_curves == probed.verdict:
        return (
            f"The probes leave the verdict as it was: {words(probed.verdict)}, "
            f"confidence {before:.2f} -> {after:.2f}."
        )
    return (
        f"By its curves the run was {words(probed.verdict_by_curves)} ({before:.2f}); "
        f"with the probes it is {words(probed.verdict)} ({after:.2f})."
    )


def _probabilities(change: Change) -> str:
    before = "not judged by curves" if change.before is None else f"{change.before:.2f}"
    return f"{before} -> {change.after:.2f}"


def _side(evidence: ProbeEvidence) -> str:
    """``for`` or ``against`` a verdict; ``open`` below odds of 3 to 2."""
    side = evidence.points if evidence.probability >= STANDS else "open:"
    return f"{side} {words(evidence.verdict)}"
