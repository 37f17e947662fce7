"""The sections of a sweep's report that need only its trials: the best ones, what mattered, why
some failed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from pipeline.records import Estimate
from pipeline.reporting import sweep_importance, sweep_pareto
from pipeline.reporting.sentences import percent
from pipeline.reporting.style import png_bytes
from pipeline.reporting.sweep_html import Drawing, ReportSection, Table
from pipeline.reporting.sweep_measure import Measure, is_number
from pipeline.sweep.analysis import FinishedTrial, StudyRecord

TOP = 3
MOST_ROWS = 10
NO_SOLUTION = (
    "No completed trial keeps the limits of the sweep (hydra.sweeper.constraints), so none is a "
    "solution."
)


def lead(record: StudyRecord) -> str:
    """Return one sentence that tells what kind of study it is."""
    counts = Counter(t.state for t in record.trials)
    states = ", ".join(f"{counts[s]} {s}" for s in ("complete", "pruned", "failed") if counts[s])
    pairs = zip(record.directions, record.objectives, strict=True)
    goals = " and ".join(f"{direction} {objective}" for direction, objective in pairs)
    return f"{len(record.trials)} trials ({states}) over {len(record.keys)} settings, to {goals}."


def top_trials(record: StudyRecord) -> list[FinishedTrial]:
    """Return the best trials, or the first ones of the front where there are several objectives."""
    return _ranked(record)[:TOP]


def best_section(
    record: StudyRecord, retrained: Mapping[int, Sequence[float]], *, seeds: int, command: str
) -> ReportSection:
    """Return the best trials, and how much of their lead fresh seeds leave.

    retrained: trial → its values with fresh seeds.  seeds: how many ``retrain=true`` would use.
    """
    if record.groups:
        return _best_groups(record, command=command)
    several = len(record.directions) > 1 and bool(record.front)
    limits = [] if all(t.feasible for t in record.complete) else ["limits"]
    with_seeds = any(t.over_seeds for t in record.trials)
    spread_columns = ("standard deviation", "seeds") if with_seeds else ()
    fresh_columns = ("fresh seeds", "difference") if retrained else ()
    head = ("trial", *record.objectives, *limits, *spread_columns, *fresh_columns, "settings")
    rows = []
    for trial in _ranked(record)[:MOST_ROWS]:
        cells = [f"#{trial.number}", *map(_objective_text, trial.values)]
        cells += [_kept(trial.feasible)] * len(limits)
        if with_seeds:
            cells += _seed_cells(trial)
        if retrained:
            cells += _fresh_cells(trial.values[0], retrained.get(trial.number, ()))
        settings = "  ".join(f"{key}={setting_text(v)}" for key, v in trial.params.items())
        rows.append((*cells, settings))

    if retrained:
        sentence = (
            "The best of many trials is partly the luckiest: with fresh seeds it is usually "
            "worse than it was in the sweep (winner's curse). Mean ± standard deviation over "
            "seeds that no trial had."
        )
    elif with_seeds:
        sentence = (
            "The value of a trial is the mean over its seeds. The best mean of many is still "
            f"partly luck: retrain=true trains each of the best {TOP} with {seeds} fresh seeds."
        )
    else:
        sentence = (
            "These are single runs, chosen because they were the best: expect them to be worse "
            f"again. retrain=true trains each of the best {TOP} with {seeds} fresh seeds and "
            "shows by how much."
        )
    heading = "Trials that no other beats" if several else "The best trials"
    sentences = (sentence,) if any(t.feasible for t in record.complete) else (NO_SOLUTION, sentence)
    return ReportSection(heading, sentences, Table(head, tuple(rows), prose=True), command=command)


def _best_groups(record: StudyRecord, *, command: str) -> ReportSection:
    """Return the best settings of a sweep over seeds, by their mean over the seeds."""
    limits = [] if all(group.feasible for group in record.groups) else ["limits"]
    mean_of = f"mean {record.objectives[0]}"
    head = ("trials", mean_of, *limits, "standard deviation", "seeds", "settings")
    rows = []
    for group in record.groups[:MOST_ROWS]:
        numbers = ", ".join(f"#{trial.number}" for trial in group.trials[:5])
        numbers += ", …" if len(group.trials) > 5 else ""
        spread = "–" if group.spread is None else f"{group.spread:.2g}"
        settings = "  ".join(f"{key}={setting_text(v)}" for key, v in group.params.items())
        mean = _objective_text(group.mean)
        kept = [_kept(group.feasible)] * len(limits)
        num_seeds = str(len(group.trials))
        rows.append((numbers, mean, *kept, spread, num_seeds, settings or "as they were"))
    sentence = (
        "Runs that differ in their seed only are one row: which seed was best is luck. Settings "
        "that lost a seed, to a failure or to pruning, come last."
    )
    return ReportSection(
        "The best settings", (sentence,), Table(head, tuple(rows), prose=True), command=command
    )


def importance_section(record: StudyRecord, shares: Mapping[str, Estimate]) -> ReportSection:
    """Return which settings mattered. shares: of `importances`, which may be empty."""
    heading = "What mattered"
    if not shares:
        sentence = (
            "Needs two settings and 10 completed trials; "
            f"there are {len(record.keys)} and {len(record.complete)}."
        )
        return ReportSection(heading, (sentence,))

    equal = 1 / len(shares)
    clear = [key for key, share in shares.items() if share.low > equal]
    if clear:
        sentence = f"Clearly more than an equal share: {', '.join(clear)}."
    else:
        sentence = (
            "No setting stands out from an equal share: more trials are needed, or all matter "
            "alike."
        )
    tenth = partial(percent, digits=1)
    rows = tuple(
        (key, tenth(share.value), f"{tenth(share.low)} … {tenth(share.high)}")
        for key, share in shares.items()
    )
    caption = (
        "How much a setting decides whether a trial is among the best; the dashed line is an "
        "equal share."
    )
    png = png_bytes(sweep_importance.plot(shares))
    drawing = Drawing("importance", "Importance", caption, png)
    table = Table(("setting", "share", "95 % interval"), rows)
    return ReportSection(heading, (sentence,), table, (drawing,))


def choices_section(record: StudyRecord, measure: Measure) -> ReportSection | None:
    """Return the median losses under each value of the settings that are names."""
    rows = []
    for key in record.keys:
        trials = [t for t in record.complete if key in t.params]
        values = {t.params[key] for t in trials}
        if len(values) < 2 or all(map(is_number, values)):
            continue
        for value in sorted(values, key=str):
            losses = measure.finite([t for t in trials if t.params[key] == value])
            if losses:
                _, train, val = zip(*losses, strict=True)
                medians = (f"{median(train):.4g}", f"{median(val):.4g}")
                rows.append((f"{key}={value}", *medians, str(len(losses))))
    if not rows:
        return None
    head = ("choice", f"median train {measure.name}", f"median val {measure.name}", "trials")
    return ReportSection("Choices", (), Table(head, tuple(rows)))


def pareto_section(record: StudyRecord) -> ReportSection | None:
    """Return two objectives against each other; None for one objective or more than two."""
    if len(record.directions) != 2:
        return None
    if not record.front:
        return ReportSection("Front", (NO_SOLUTION,))
    points = {t.number: (t.values[0], t.values[1]) for t in record.complete}
    front = [(number, points[number]) for number in record.front]
    names = (record.objectives[0], record.objectives[1])
    png = png_bytes(sweep_pareto.plot(list(points.values()), front, names=names))
    sentence = (
        f"{len(front)} of {len(points)} trials are on the front: to do better in one objective, "
        "they give up the other."
    )
    return ReportSection(
        "Front", (sentence,), drawings=(Drawing("pareto", "Pareto front", "", png),)
    )


def failures_section(record: StudyRecord) -> ReportSection | None:
    """Return why trials failed, the most frequent reason first; None without failures."""
    reasons = Counter(t.failure or "unknown" for t in record.trials if t.state == "failed")
    if not reasons:
        return None
    rows = tuple((reason, str(count)) for reason, count in reasons.most_common(MOST_ROWS))
    return ReportSection("Failures", (), Table(("reason", "trials"), rows))


def setting_text(value: Any) -> str:
    """Return a setting's value for a table: four digits of a float, null for None."""
    if value is None:
        return "null"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ranked(record: StudyRecord) -> list[FinishedTrial]:
    """Return the completed trials, the best first, or the front of several objectives."""
    if record.groups:
        return [group.trials[0] for group in record.groups]
    if len(record.directions) == 1 or not record.front:
        return record.complete
    by_number = {t.number: t for t in record.trials}
    return [by_number[number] for number in record.front]


def _kept(feasible: bool) -> str:
    return "kept" if feasible else "exceeded"


def _seed_cells(trial: FinishedTrial) -> list[str]:
    """Return the standard deviation over the seeds of a trial, and their number."""
    seeds = trial.over_seeds
    if seeds is None or seeds.spread is None:
        return ["–", "–"]
    return [f"{seeds.spread:.2g}", str(len(seeds.seeds))]


def _fresh_cells(value: float, fresh: Sequence[float]) -> list[str]:
    """Return mean ± standard deviation over fresh seeds, and its difference to ``value``."""
    if not fresh:
        return ["–", "–"]
    spread = f" ± {np.std(fresh, ddof=1):.2g}" if len(fresh) > 1 else ""
    mean = float(np.mean(fresh))
    return [f"{mean:.5g}{spread} (n={len(fresh)})", f"{mean - value:+.2g}"]


def _objective_text(value: float) -> str:
    """Return a loss with five digits, a count of parameters in full."""
    whole = math.isfinite(value) and value == round(value)
    return f"{value:,.0f}" if whole and abs(value) >= 1000 else f"{value:.5g}"
