"""What every adapter shares: the labels, and JSON lines in and out. Standard library only.

The environments of other tools run this file, so it must not import the pipeline.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TextIO

CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "learning_rate")
FAMILY_OF = {
    "healthy": "healthy",
    "overfitting": "fits_and_fails",
    "label_noise": "fits_and_fails",
    "undertrained": "stopped_too_early",
    "underfitting": "does_not_fit",
    "learning_rate_too_low": "does_not_fit",
    "not_learning": "does_not_fit",
    "learning_rate_too_high": "unstable",
}
FAULTS = tuple(FAMILY_OF)
FAMILIES = tuple(dict.fromkeys(FAMILY_OF.values()))

Curve = list[float | None]  # by epoch; None where an epoch has no number
Curves = Mapping[str, Curve]


@dataclass(frozen=True)
class Verdict:
    """A tool's answer to one history.

    words: the tool's own.  family, fault: the nearest of ours; None where the tool names none.
    confidence: 0 … 1, None where the tool gives none.  reason: why there is no answer.
    own_family: whether the tool itself named the family; else it is read from the fault.
    """

    words: str
    family: str | None = None
    fault: str | None = None
    confidence: float | None = None
    reason: str = ""
    own_family: bool = False


@dataclass(frozen=True)
class Named:
    """One finding of a tool. confidence: 0 … 1, None where the tool gives none."""

    name: str
    confidence: float | None = None


def nearest(label: str) -> tuple[str, str | None]:
    """Return the family and the fault of a fault's name or of a family's.

    A family with one fault names that fault too. Raises KeyError for any other name.
    """
    if label in FAMILY_OF:
        return FAMILY_OF[label], label
    if label not in FAMILIES:
        raise KeyError(f"{label!r} is neither a fault nor a family")
    members = [fault for fault, family in FAMILY_OF.items() if family == label]
    return label, members[0] if len(members) == 1 else None


def verdict_of(
    findings: Sequence[Named], meaning: Mapping[str, str | None], *, judged: bool = True
) -> Verdict:
    """Return the first finding that says something about the fit; without one, "healthy".

    Each of these tools prints "no problems found", or the like, when nothing was found. So silence
    is the verdict healthy.
    findings: most important first.  meaning: finding → fault or family; None: not about the fit.
    judged: whether the tool had the numbers that it needs; without them silence says nothing.
    Raises KeyError for a finding that the table does not hold: another version of the tool.
    """
    words = ", ".join(finding.name for finding in findings) or "nothing found"
    labels = [(meaning[finding.name], finding.confidence) for finding in findings]
    about = [(label, confidence) for label, confidence in labels if label is not None]
    if about:
        family, fault = nearest(about[0][0])
        return Verdict(words, family, fault, about[0][1])
    if not judged:
        return Verdict(words, reason="no training loss")
    return Verdict(words, *nearest("healthy"))


def curves_of(line: Mapping[str, Mapping[str, Sequence[float | str | None]]]) -> Curves:
    """Return a history's curves as numbers; "nan" and "inf" become floats, null stays None."""
    return {
        name: [None if value is None else float(value) for value in values]
        for name, values in line["curves"].items()
    }


def has_loss(curves: Curves) -> bool:
    """Return whether the training loss has a number at all."""
    return any(value is not None for value in curves.get("train_loss", ()))


def answered(lines: Iterable[str], judge: Callable[[Curves], Verdict], out: TextIO) -> None:
    """Write one JSON line a history. Its seconds are those of the judgement alone."""
    for text in lines:
        line = json.loads(text)
        curves = curves_of(line)
        start = time.perf_counter()
        try:
            verdict = judge(curves)
        except Exception as error:  # code of others may raise anything; its word is kept
            verdict = Verdict("", reason=f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        row = {"id": line["id"], **asdict(verdict), "abstained": verdict.family is None}
        print(json.dumps({**row, "seconds": seconds}), file=out, flush=True)


def main(judge: Callable[[Curves], Verdict]) -> None:
    """Judge the histories of standard input. What a tool prints itself goes to standard error."""
    out, sys.stdout = sys.stdout, sys.stderr
    answered(sys.stdin, judge, out)
