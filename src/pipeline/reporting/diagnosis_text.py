"""A diagnosis for the terminal: the verdict, why, and what to type next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.diagnosis.finding import Condition, Finding
from pipeline.diagnosis.remedies import Remedy
from pipeline.diagnosis.rules import RULES
from pipeline.diagnosis.verdict import HEALTHY, UNDETERMINED, Diagnosis

_COLOURS = {HEALTHY: "green", UNDETERMINED: "yellow"}


def show(
    found: Diagnosis,
    offered: Mapping[str, Sequence[Remedy]],
    *,
    commands: Mapping[tuple[str, ...], str],
    console: Console | None = None,
) -> None:
    """Print a diagnosis. commands: a remedy's overrides → the line to type."""
    console = console or Console(highlight=False, soft_wrap=False)
    console.print(_headline(found))
    for finding in found.findings:
        console.print(_finding(finding))
        console.print(_ways_out(offered.get(finding.verdict, ()), commands))
    if found.reason:
        console.print(f"  {found.reason}.")
    if found.follow:
        console.print(f"  [dim]Follows from it:[/] {', '.join(words(f.verdict) for f in found.follow)}")
    for finding in found.open:
        weakest = min(finding.conditions, key=lambda c: c.probability)
        console.print(
            f"  [dim]Undecided:[/] {words(finding.verdict)} ({finding.probability:.2f}): {sentence(weakest)}"
        )
    if found.not_run:
        listed = "; ".join(f"{words(verdict)} (needs {missing})" for verdict, missing in found.not_run)
        console.print(f"  [dim]Did not run: {listed}[/]")


def words(verdict: str) -> str:
    """``learning_rate_too_high`` as people say it."""
    return verdict.replace("_", " ")


def sentence(c: Condition) -> str:
    """One condition with its number, its interval and its limit."""
    spread = "" if c.low == c.high or not math.isfinite(c.value) else f" [{number(c.low)}, {number(c.high)}]"
    sign = ">" if c.wanted == "above" else "<"
    when = f", epoch {c.epochs[0]}" if c.epochs and c.epochs[0] == c.epochs[1] else ""
    when = f", epochs {c.epochs[0]}-{c.epochs[1]}" if c.epochs and not when else when
    return f"{c.what}: {number(c.value)}{c.unit}{spread} (limit {sign} {number(c.limit)}{c.unit}{when})"


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if math.isfinite(value) else "not finite"


def _headline(found: Diagnosis) -> Text:
    colour = _COLOURS.get(found.verdict, "red")
    return Text.assemble(
        (f"{found.name}: ", "bold"),
        (words(found.verdict), f"bold {colour}"),
        f"  (confidence {found.confidence:.2f})",
    )


def _finding(finding: Finding) -> RenderableType:
    rule = next(r for r in RULES if r.verdict == finding.verdict)
    lines: list[RenderableType] = [Text(f"{rule.what} {rule.harm}")]
    lines += [Text(f"• {sentence(c)}") for c in finding.conditions]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _ways_out(offered: Sequence[Remedy], commands: Mapping[tuple[str, ...], str]) -> RenderableType:
    if not offered:
        return Text("")
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for place, remedy in enumerate(offered, start=1):
        table.add_row(f"{place}. {words(remedy.name)}", Text(remedy.why, style="dim"))
        table.add_row("", Text(commands.get(remedy.overrides, " ".join(remedy.overrides)), style="cyan"))
    return Padding(Group(Text("What to do about it, the most promising first:"), table), (0, 0, 0, 2))
