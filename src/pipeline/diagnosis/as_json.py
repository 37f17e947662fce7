"""A diagnosis as plain values, for ``diagnosis.json`` and other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.diagnosis.finding import Condition, Finding
from pipeline.diagnosis.remedies import Remedy
from pipeline.diagnosis.rules import RULES
from pipeline.diagnosis.verdict import Diagnosis

VERSION = 1


def to_json(found: Diagnosis, offered: Mapping[str, Sequence[Remedy]]) -> dict[str, Any]:
    """Return the diagnosis with the remedies of each finding; numbers that are not finite become None."""
    return {
        "version": VERSION,
        "name": found.name,
        "verdict": found.verdict,
        "confidence": round(found.confidence, 4),
        "ranked": list(found.ranked),
        "reason": found.reason,
        "findings": [{**_finding(f), "remedies": _remedies(offered, f)} for f in found.findings],
        "follow": [_finding(f) for f in found.follow],
        "undecided": [_finding(f) for f in found.open],
        "ruled_out": [_finding(f) for f in found.ruled_out],
        "not_run": [{"verdict": verdict, "missing": missing} for verdict, missing in found.not_run],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rule = next(r for r in RULES if r.verdict == finding.verdict)
    return {
        "verdict": finding.verdict,
        "probability": round(finding.probability, 4),
        "what": rule.what,
        "harm": rule.harm,
        "conditions": [condition(c) for c in finding.conditions],
    }


def condition(c: Condition) -> dict[str, Any]:
    """One condition; numbers that are not finite become None."""
    return {
        "what": c.what,
        "value": _finite(c.value),
        "low": _finite(c.low),
        "high": _finite(c.high),
        "unit": c.unit,
        "wanted": c.wanted,
        "limit": c.limit,
        "probability": round(c.probability, 4),
        "epochs": list(c.epochs) if c.epochs else None,
    }


def _remedies(offered: Mapping[str, Sequence[Remedy]], finding: Finding) -> list[dict[str, Any]]:
    return [
        {"name": r.name, "overrides": list(r.overrides), "why": r.why}
        for r in offered.get(finding.verdict, ())
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
