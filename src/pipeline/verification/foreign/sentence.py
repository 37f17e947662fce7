"""The result of a command's verification in words: those of our own verifications."""

from __future__ import annotations

from pipeline.diagnosis.foreign_proof import ForeignArm
from pipeline.diagnosis.paired_trials import HARMFUL
from pipeline.records import Estimate
from pipeline.reporting.sentences import change
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.plan import num_runs


def accepted(
    options: ForeignOptions, arm: ForeignArm, reseed: Estimate, random: Estimate | None
) -> str:
    """Return the sentence on an arm that is confirmed."""
    verb = "lowers" if options.goal == "min" else "raises"
    by, drawn = (change(e, options.scale) if e else "" for e in (arm.improvement, random))
    search = f"random search of equal cost gains {drawn}" if random else "no random search was run"
    return (
        f"{options.name}: {arm.name} {verb} {options.metric} by {by} over {arm.improvement.n} "
        f"paired seeds; a reseed changes it by {change(reseed, options.scale)}, {search}."
    )


def undecided(options: ForeignOptions, arm: ForeignArm) -> str:
    """Return the sentence where more seeds may decide."""
    needed = arm.seeds_needed or 0
    return (
        f"{options.name}: cannot be decided with this budget, {arm.improvement.n} paired seeds. "
        f"{arm.name} needs about {needed} seeds: seeds={needed}, "
        f"{num_runs(1, needed)} runs at most with this remedy alone."
    )


def rejected(options: ForeignOptions, arms: list[ForeignArm]) -> str:
    """Return the sentence where nothing seems to help."""
    most = max(arm.improvement.n for arm in arms)
    text = f"{options.name}: no remedy is confirmed over {most} paired seeds."
    worse = [arm for arm in arms if arm.verdict == HARMFUL]
    if worse:
        listed = ", ".join(arm.name for arm in worse)
        text += f" {options.metric} is worse beyond noise with {listed}."
    return text
