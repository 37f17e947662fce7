"""The options ``fail_on`` and ``fail_from``: a verdict as an exit code, for scripts and CI."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.commands.command import Options
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.diagnosis import Diagnosis

EXIT_CODE = 3  # 1 and 2 are errors
ANY = "any"
FailOn = tuple[str, ...]
Confidence = Annotated[float, Field(ge=0, le=1)]
FAIL_ON = "verdicts or families of verdicts that give exit code 3; any stands for every fault"
FAIL_FROM = "confidence from which on fail_on counts"


def check(fail_on: FailOn, options: Options) -> None:
    """Raise `ConfigError` for a word that is no verdict, and for ``fail_from`` alone."""
    if "fail_from" in options.model_fields_set and not fail_on:
        raise ConfigError(
            "fail_from: has no effect without fail_on=<verdict>. Leave it out, or add fail_on=any."
        )
    if not fail_on:
        return
    from pipeline.config.words import nearest
    from pipeline.diagnosis.record import FAMILIES, HEALTHY

    known = sorted({ANY, *FAMILIES, *FAMILIES.values()} - {HEALTHY})
    unknown = next((word for word in fail_on if word not in known), None)
    if unknown is not None:
        raise ConfigError(f"fail_on={unknown}: is no fault{nearest(unknown, known)}")


def certain(diagnosis: Diagnosis) -> dict[str, float]:
    """Return what ``fail_on`` can name → its confidence: faults, families, ``any``.

    A diagnosis by rules can find several faults; each of its findings counts. A family can be
    certain although its fault is open.
    """
    from pipeline.diagnosis.record import FAMILIES, HEALTHY, UNDETERMINED

    sure: dict[str, float] = {}
    by_rules = () if diagnosis.told_by == "shape" else diagnosis.findings
    for finding in by_rules:
        sure[finding.verdict] = finding.probability
        family = FAMILIES[finding.verdict]
        sure[family] = max(finding.probability, sure.get(family, 0.0))
    if diagnosis.family not in ("", HEALTHY):
        if diagnosis.verdict != UNDETERMINED:
            sure[diagnosis.verdict] = diagnosis.confidence
        sure[ANY] = sure[diagnosis.family] = diagnosis.family_confidence
    return sure


def exit_code(sure: Mapping[str, float], fail_on: FailOn, fail_from: float, *, what: str) -> int:
    """Return 3 where a word of ``fail_on`` is certain, and say so on the error stream; else 0.

    what: a few words on the verdict.
    """
    word = next((word for word in fail_on if sure.get(word, -1.0) >= fail_from), None)
    if word is None:
        return 0
    print(f"fail_on={word}: {what}: exit code {EXIT_CODE}", file=sys.stderr, flush=True)
    return EXIT_CODE
