"""From the findings of all rules to one verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.diagnosis.finding import Finding, Missing
from pipeline.diagnosis.history import History
from pipeline.diagnosis.measures import Measures
from pipeline.diagnosis.rules import RULES, Rule

HEALTHY, UNDETERMINED = "healthy", "undetermined"
# Between these a finding neither stands nor falls.
STANDS, FALLS = 0.6, 0.4
# A history on which fewer of these could be judged says too little to be called healthy.
NEEDED_FOR_HEALTHY = ("overfitting", "undertrained", "underfitting")


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run, or that nothing is.

    verdict: a rule's, `HEALTHY` or `UNDETERMINED`.  confidence: 0 … 1.  findings: those that stand, causes
    first; the first one gives the verdict.  follow: findings that a standing one explains.
    open: findings that neither stand nor fall.  not_run: verdict → what its rule lacked.
    ranked: verdicts from the most to the least likely, see `_ranked`.
    reason: why nothing could be determined; empty otherwise.
    """

    name: str
    verdict: str
    confidence: float
    findings: tuple[Finding, ...]
    follow: tuple[Finding, ...]
    open: tuple[Finding, ...]
    ruled_out: tuple[Finding, ...]
    not_run: tuple[tuple[str, str], ...]
    ranked: tuple[str, ...]
    reason: str = ""


def diagnose(history: History, *, rules: Sequence[Rule] = RULES) -> Diagnosis:
    """Judge a history by all rules that its numbers allow.

    A finding stands from a probability of 0.6 on. Of those that stand, one that another one explains
    is a consequence. Without any, the run is healthy if no rule is undecided and those that tell over-
    from underfitting could run; else undetermined, with the reason.
    """
    measures = Measures(history)
    found: dict[str, Finding] = {}
    not_run: list[tuple[str, str]] = []
    for rule in rules:
        try:
            found[rule.verdict] = rule.judge(measures)
        except Missing as error:
            not_run.append((rule.verdict, str(error)))
    return conclude(found, not_run, name=history.name, rules=rules)


def conclude(
    found: Mapping[str, Finding],
    not_run: Sequence[tuple[str, str]],
    *,
    name: str,
    rules: Sequence[Rule] = RULES,
) -> Diagnosis:
    """Make one verdict of what every rule found, see `diagnose`. found: verdict → finding, of whatever probability."""
    standing = _standing(found, rules)
    explained = {e for r in rules if any(f.verdict == r.verdict for f in standing) for e in r.explains}
    causes = _without_circles(standing, rules)
    follow = [f for f in standing if f not in causes]
    undecided = sorted(
        (f for f in found.values() if FALLS < f.probability < STANDS and f.verdict not in explained),
        key=lambda f: -f.probability,
    )
    ruled_out = tuple(f for f in found.values() if f not in (*causes, *follow, *undecided))
    made = partial(
        Diagnosis,
        name=name,
        findings=tuple(causes),
        follow=tuple(follow),
        open=tuple(undecided),
        ruled_out=ruled_out,
        not_run=tuple(not_run),
    )
    if causes:
        first = causes[0]
        return made(
            verdict=first.verdict,
            confidence=first.probability,
            ranked=_ranked(first.verdict, found, rules),
        )
    lacking = [verdict for verdict in NEEDED_FOR_HEALTHY if verdict not in found]
    worst = max((f.probability for f in found.values()), default=0.0)
    if undecided or lacking:
        reason = (
            f"{', '.join(f.verdict for f in undecided)}: the evidence straddles its limit"
            if undecided
            else f"{', '.join(lacking)} could not be judged: {dict(not_run)[lacking[0]]} is missing"
        )
        return made(
            verdict=UNDETERMINED,
            confidence=1 - worst,
            reason=reason,
            ranked=_ranked(UNDETERMINED, found, rules),
        )
    return made(verdict=HEALTHY, confidence=1 - worst, ranked=_ranked(HEALTHY, found, rules))


def _standing(found: Mapping[str, Finding], rules: Sequence[Rule]) -> list[Finding]:
    """Findings that stand, in the rules' order."""
    there = [found[r.verdict] for r in rules if r.verdict in found]
    return [f for f in there if f.probability >= STANDS]


def _ranked(first: str, found: Mapping[str, Finding], rules: Sequence[Rule]) -> tuple[str, ...]:
    """Verdicts in the order in which they would be given if each one before were ruled out.

    So a consequence comes right after its cause, and where nothing stands any more, the likeliest rule
    and `HEALTHY`, with the probability that this rule does not hold, are weighed against each other.
    """
    ranked = [first]
    left = {verdict: f for verdict, f in found.items() if verdict != first}
    while left:
        standing = _standing(left, rules)
        likeliest = standing[0] if standing else max(left.values(), key=lambda f: f.probability)
        if likeliest.probability < 0.5 and HEALTHY not in ranked:
            ranked.append(HEALTHY)
        ranked.append(likeliest.verdict)
        del left[likeliest.verdict]
    return tuple(dict.fromkeys([*ranked, HEALTHY]))


def _without_circles(standing: Sequence[Finding], rules: Sequence[Rule]) -> list[Finding]:
    """Findings that no earlier cause among the standing ones explains, in the rules' order."""
    by_verdict = {rule.verdict: rule for rule in rules}
    causes: list[Finding] = []
    for finding in standing:
        if not any(finding.verdict in by_verdict[c.verdict].explains for c in causes):
            causes.append(finding)
    return causes
