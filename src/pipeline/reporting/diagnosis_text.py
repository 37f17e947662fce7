"""A diagnosis for the terminal: the verdict, its evidence, and the commands that may help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from pipeline.diagnosis.record import (
    FAMILY_WORDS,
    HEALTHY,
    UNDETERMINED,
    Condition,
    Diagnosis,
    Finding,
    NotRun,
    Remedy,
)
from pipeline.reporting.condition_text import bounds, measured
from pipeline.reporting.console import console as default_console
from pipeline.terminal import visible

_COLORS = {HEALTHY: "green", UNDETERMINED: "yellow"}
_INDENT = 2
# Another verdict is named from this probability on.
WORTH_A_WORD = 0.05
WITH_VERDICT = "What to do about it, the most promising first:"
WITHOUT_VERDICT = "Worth a try all the same:"
PROOF = "Proof over paired seeds, beside two controls (13 runs or more):"


def show(
    diagnosis: Diagnosis,
    *,
    commands: Mapping[tuple[str, ...], str],
    proof: str = "",
    console: Console | None = None,
) -> None:
    """Print a diagnosis. commands: a remedy's overrides → the line to type.

    proof: the line that proves the first remedies.
    """
    console = console or default_console()
    console.print(_headline(diagnosis))
    for line in _of_shape(diagnosis):
        _print_indented(console, line)
    for finding in diagnosis.findings:
        for line in _evidence(finding):
            _print_indented(console, line)
        _print_remedies(console, WITH_VERDICT, finding.remedies, commands)
    for line in _open_ends(diagnosis):
        _print_indented(console, line)
    _print_remedies(console, WITHOUT_VERDICT, diagnosis.remedies, commands)
    if proof:
        _print_indented(console, Text(PROOF))
        console.print(Text(f"     {proof}", style="cyan"), soft_wrap=True)


def words(verdict: str) -> str:
    """Return ``learning_rate_too_high`` as ``learning rate too high``."""
    return verdict.replace("_", " ")


def sentence(c: Condition) -> str:
    """Return one condition in words: its number, the limit, how sure the number is, and when."""
    return f"{c.what}: {measured(c)} ({bounds(c)})"


def _headline(diagnosis: Diagnosis) -> Text:
    color = _COLORS.get(diagnosis.verdict, "red")
    sure = f"  (confidence {diagnosis.confidence:.2f})"
    return Text.assemble(
        (f"{visible(diagnosis.name)}: ", "bold"),
        (words(diagnosis.verdict), f"bold {color}"),
        "" if diagnosis.verdict == UNDETERMINED else sure,
    )


def _of_shape(diagnosis: Diagnosis) -> Iterator[Text]:
    """The family, and the evidence where there is no fault: a fault's stands with its finding."""
    family = FAMILY_WORDS.get(diagnosis.family, "")
    if family and (diagnosis.told_by == "shape" or diagnosis.verdict == UNDETERMINED):
        yield Text(f"{family[:1].upper()}{family[1:]} ({diagnosis.family_confidence:.2f}).")
    for evidence in () if diagnosis.findings else diagnosis.evidence:
        yield Text(f"• {evidence.words}")


def _evidence(finding: Finding) -> Iterator[Text]:
    yield Text(f"{finding.what} {finding.harm}")
    for condition in finding.conditions:
        yield Text(f"• {sentence(condition)}")
    for evidence in finding.evidence:
        yield Text(f"• {evidence.words}")


def _print_remedies(
    console: Console,
    title: str,
    remedies: Sequence[Remedy],
    commands: Mapping[tuple[str, ...], str],
) -> None:
    """Print each remedy with its reason, and its command in one line of any length."""
    if not remedies:
        return
    _print_indented(console, Text(title))
    for place, remedy in enumerate(remedies, start=1):
        why = Text.assemble(f"{place}. {words(remedy.name)}: ", (remedy.why, "dim"))
        _print_indented(console, why)
        command = commands.get(remedy.overrides, " ".join(remedy.overrides))
        console.print(Text(f"     {command}", style="cyan"), soft_wrap=True)


def _open_ends(diagnosis: Diagnosis) -> Iterator[Text]:
    """The reason for no verdict, consequences, undecided faults, and faults that lack a number."""
    if diagnosis.reason:
        yield Text(f"{diagnosis.reason}.")
    if diagnosis.follow:
        names = ", ".join(words(f.verdict) for f in diagnosis.follow)
        yield Text.assemble(("Follows from it: ", "dim"), names)
    for finding in diagnosis.undecided:
        weakest = min(finding.conditions, key=lambda c: c.probability)
        name = f"{words(finding.verdict)} ({finding.probability:.2f})"
        yield Text.assemble(("Undecided: ", "dim"), f"{name}: {sentence(weakest)}")
    others = [
        o
        for o in diagnosis.likely
        if o.verdict != diagnosis.verdict and o.probability >= WORTH_A_WORD
    ]
    if others:
        listed = ", ".join(f"{words(o.verdict)} ({o.probability:.2f})" for o in others[:3])
        yield Text.assemble(("Also possible: ", "dim"), listed)
    if diagnosis.settle:
        yield Text.assemble(("To settle it: ", "dim"), diagnosis.settle)
    for note in diagnosis.notes:
        yield Text(note, style="dim")
    if diagnosis.not_run:
        yield Text(f"Not judged: {_lacking(diagnosis.not_run)}", style="dim")


def _lacking(not_run: Sequence[NotRun]) -> str:
    """Each missing number once, after the faults that need it."""
    verdicts: dict[str, list[str]] = {}
    for n in not_run:
        verdicts.setdefault(n.missing, []).append(words(n.verdict))
    return "; ".join(f"{', '.join(names)} (needs {missing})" for missing, names in verdicts.items())


def _print_indented(console: Console, text: Text) -> None:
    """Print a text in as many lines as it needs, without spaces at their ends."""
    for line in text.wrap(console, console.width - _INDENT):
        line.rstrip()
        console.print(Text(" " * _INDENT) + line)
