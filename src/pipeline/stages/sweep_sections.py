"""From a study to the sections of its report: which numbers to compute, and what they say in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from pipeline.evaluation.power_law import fit_power_law
from pipeline.evaluation.validation_curve import ValidationCurve, as_number, validation_curve
from pipeline.records import Estimate
from pipeline.reporting import (
    sweep_curves,
    sweep_importance,
    sweep_learning_curve,
    sweep_pareto,
    sweep_verdicts,
)
from pipeline.reporting.style import percent, png_bytes
from pipeline.reporting.sweep_html import Drawing, Section, Table
from pipeline.sweep.analysis import FinishedTrial, StudyRecord

# Not settings of regularisation, optimizer or size: they have a section of their own, or are luck.
NO_CURVE = ("data.fraction", "seed")
SIZE = "data.fraction"
TOP = 3


@dataclass(frozen=True)
class Measure:
    """What the curves show. name: of the axis.  metric: such as cross_entropy, without its ``val/``."""

    name: str
    metric: str

    @classmethod
    def of(cls, record: StudyRecord) -> Measure:
        """The first objective that is measured on validation; accuracy is shown as error."""
        found = [o.removeprefix("val/") for o in record.objectives if o.startswith("val/")]
        metric = found[0] if found else "loss"
        return cls("error" if metric == "accuracy" else metric.replace("_", " "), metric)

    def of_trial(self, trial: FinishedTrial) -> tuple[float, float]:
        """(training, validation), lower is better; NaN where a trial did not tell."""
        found = (trial.metrics.get(f"{part}/{self.metric}", math.nan) for part in ("train", "val"))
        train, val = (1 - v if self.metric == "accuracy" else v for v in found)
        return train, val


def lead(record: StudyRecord) -> str:
    """What kind of study it is, in one sentence."""
    counts = Counter(t.state for t in record.trials)
    states = ", ".join(f"{counts[s]} {s}" for s in ("complete", "pruned", "failed") if counts[s])
    goals = " and ".join(f"{d} {o}" for d, o in zip(record.directions, record.objectives, strict=True))
    return f"{len(record.trials)} trials ({states}) over {len(record.keys)} settings, to {goals}."


def best_section(
    record: StudyRecord, retrained: Mapping[int, Sequence[float]], *, seeds: int, command: str
) -> Section:
    """The best trials, and what is left of their lead with fresh seeds."""
    several = len(record.directions) > 1
    by_number = {t.number: t for t in record.trials}
    top = [by_number[n] for n in record.front] if several else record.complete[:TOP]
    head = ("trial", *record.objectives, *(("fresh seeds", "difference") if retrained else ()), "settings")
    rows = []
    for t in top[:10]:
        row = [f"#{t.number}", *(_number(v) for v in t.values)]
        if retrained:
            row += _fresh(t.values[0], retrained.get(t.number, ()))
        rows.append((*row, "  ".join(f"{k}={_short(v)}" for k, v in t.params.items())))
    if retrained:
        said = (
            "The best of many trials is partly the luckiest: with fresh seeds it is usually worse than it "
            "was in the sweep (winner's curse). Mean ± standard deviation over seeds that no trial had.",
        )
    else:
        said = (
            "These are single runs, chosen because they were the best: expect them to be worse again. "
            f"retrain=true trains each of the best {TOP} with {seeds} fresh seeds and tells by how much.",
        )
    heading = "Trials that no other beats" if several else "The best trials"
    return Section(heading, said, Table(head, tuple(rows), prose=True), command=command)


def _fresh(value: float, found: Sequence[float]) -> list[str]:
    if not found:
        return ["–", "–"]
    spread = f" ± {np.std(found, ddof=1):.2g}" if len(found) > 1 else ""
    return [f"{np.mean(found):.5g}{spread} (n={len(found)})", f"{np.mean(found) - value:+.2g}"]


def importance_section(record: StudyRecord, found: Mapping[str, Estimate]) -> Section:
    """Which settings mattered."""
    heading = "What mattered"
    if not found:
        done = len(record.complete)
        told = f"Needs two settings and 10 completed trials; there are {len(record.keys)} and {done}."
        return Section(heading, (told,))
    equal = 1 / len(found)
    clear = [k for k, e in found.items() if e.low > equal]
    said = (
        f"Clearly more than an equal share: {', '.join(clear)}."
        if clear
        else "No setting stands out from an equal share: more trials are needed, or all matter alike."
    )
    rows = tuple((k, percent(e.value), f"{percent(e.low)} … {percent(e.high)}") for k, e in found.items())
    caption = (
        "How much a setting decides whether a trial is among the best; the dashed line is an equal share."
    )
    drawing = Drawing("importance", "Importance", caption, png_bytes(sweep_importance.plot(found)))
    return Section(heading, (said,), Table(("setting", "share", "95 % interval"), rows), (drawing,))


def curves(record: StudyRecord, measure: Measure) -> dict[str, ValidationCurve]:
    """The validation curve of every numeric setting that has one."""
    found = {}
    for key in record.keys:
        having = [t for t in record.complete if key in t.params]
        try:
            values = [as_number(t.params[key]) for t in having]
        except TypeError:
            continue
        if key in NO_CURVE or not having:
            continue
        train, val = zip(*(measure.of_trial(t) for t in having), strict=True)
        curve = validation_curve(values, train, val)
        if curve:
            found[key] = curve
    return found


def curves_section(
    record: StudyRecord, found: Mapping[str, ValidationCurve], measure: Measure, defaults: Mapping[str, Any]
) -> Section | None:
    """Where each setting underfits, is right, and overfits, with the present default on it."""
    if not found:
        return None
    rows, drawings = [], []
    for key, curve in found.items():
        known = key in defaults and _is_number(defaults[key])
        default = as_number(defaults[key]) if known else None
        rows.append(_curve_row(key, curve, default, known))
        figure = sweep_curves.plot(
            curve,
            name=key,
            measure=measure.name,
            default=default,
            log=key in record.log_keys,
            has_default=known,
        )
        drawings.append(Drawing(f"curve_{key}", key, _caption(curve), png_bytes(figure)))
    said = [
        "Lines are medians over trials that differ in all other settings too, bars their 95 % intervals. "
        "The sweet spot holds the values within noise (two standard errors) of the best; beside it a side is "
        "underfit where the training loss has risen, overfit where the gap has. One setting in twenty that "
        "does nothing shows a side by chance."
    ]
    pruned = sum(t.state == "pruned" for t in record.trials)
    if pruned:
        said.append(
            f"{pruned} trials were pruned and are not in the curves, which so look flatter than they are. "
            "For a map of the whole space sweep with hydra/sweeper/pruner=none hydra/sweeper/sampler=random."
        )
    head = ("setting", "below", "sweet spot", "above", "default", "which is")
    return Section("Validation curves", tuple(said), Table(head, tuple(rows)), tuple(drawings))


def _curve_row(key: str, curve: ValidationCurve, default: float | None, known: bool) -> tuple[str, ...]:
    shown = _short(default) if known else "–"
    if not (curve.left or curve.right):
        return (key, "–", "no difference seen", "–", shown, "–")
    zone = (curve.zone(default) or "untried") if known else "–"
    return (key, curve.left or "not reached", curve.sweet, curve.right or "not reached", shown, zone)


def _caption(curve: ValidationCurve) -> str:
    open_ends = [word for word, side in (("lower", curve.left), ("upper", curve.right)) if side is None]
    if len(open_ends) == 2:
        return (
            "No value is worse than another beyond the noise: these trials do not show that the setting matters "
            "in this range."
        )
    if open_ends:
        return f"The sweet spot {curve.sweet} reaches the {open_ends[0]} end: the best may lie beyond it."
    return f"The sweet spot is {curve.sweet}."


def choices_section(record: StudyRecord, measure: Measure) -> Section | None:
    """Settings that are names: the median validation loss under each."""
    rows = []
    for key in record.keys:
        values = {t.params[key] for t in record.complete if key in t.params}
        if all(_is_number(v) for v in values) or len(values) < 2:
            continue
        for value in sorted(values, key=str):
            losses = [measure.of_trial(t) for t in record.complete if t.params.get(key) == value]
            known = [pair for pair in losses if all(map(math.isfinite, pair))]
            if known:
                train, val = (f"{median(column):.4g}" for column in zip(*known, strict=True))
                rows.append((f"{key}={value}", train, val, str(len(known))))
    head = ("choice", f"median train {measure.name}", f"median val {measure.name}", "trials")
    return Section("Choices", (), Table(head, tuple(rows))) if rows else None


def verdicts_section(
    record: StudyRecord, found: Mapping[str, ValidationCurve], importance: Mapping[str, Estimate]
) -> Section | None:
    """What the diagnosis said of the trials, overall and along the most important numeric setting."""
    judged = [t for t in record.complete if t.verdict]
    if not judged:
        return None
    names = [name for name, _ in Counter(t.verdict or "" for t in judged).most_common()]
    columns: dict[str, list[FinishedTrial]] = {"all trials": judged}
    key = next((k for k in importance if k in found), next(iter(found), None))
    if key:
        curve = found[key]
        for i, b in enumerate(curve.bins):
            there = [t for t in judged if key in t.params and curve.place(as_number(t.params[key])) == i]
            if there:
                columns[b.label] = there
    shares = {n: [sum(t.verdict == n for t in c) / len(c) for c in columns.values()] for n in names}
    rows = tuple((n, str(sum(t.verdict == n for t in judged)), percent(shares[n][0])) for n in names)
    figure = sweep_verdicts.plot(shares, labels=list(columns), name=key or "")
    told = f"All trials, and along {key}: each column is one bin of its validation curve." if key else ""
    drawing = Drawing("verdicts", "Verdicts over the space", told, png_bytes(figure))
    said = (
        "What the diagnosis says of each completed trial by its own curves and signals (pipeline diagnose)."
    )
    return Section("Verdicts", (said,), Table(("verdict", "trials", "share"), rows), (drawing,))


def data_size_section(record: StudyRecord, measure: Measure, *, num_train: int | None) -> Section | None:
    """What more data would buy, where the study varied nothing else."""
    if num_train is None or SIZE not in record.keys or set(record.keys) - set(NO_CURVE):
        return None
    runs = [(t.params[SIZE] * num_train, *measure.of_trial(t)) for t in record.complete]
    known = [run for run in runs if all(map(math.isfinite, run))]
    sizes, train, val = (list(column) for column in zip(*known, strict=True)) if known else ([], [], [])
    law = fit_power_law(sizes, val)
    if law is None:
        return Section(
            "What more data would buy", ("Needs at least four training sizes with a loss above 0.",)
        )
    largest = law.sizes[-1]
    twice, gain = law.at(2 * largest), law.gain(largest)
    rows = [
        (f"{n:,.0f} images, measured", f"{mean:.4g}", "")
        for n, mean in zip(law.sizes, law.means, strict=True)
    ]
    rows += [
        (f"{factor * largest:,.0f} images, extrapolated", *_estimate(law.at(factor * largest)))
        for factor in (2, 10)
    ]
    rows += [("floor a", *_estimate(law.floor)), ("exponent c", *_estimate(law.exponent))]
    now = law.means[-1]
    said = [
        f"Twice the data ({2 * largest:,.0f} images) would lower the validation {measure.name} from {now:.4g} "
        f"to about {twice.value:.4g}: by {gain.value:.2g}{_interval(gain)}, or {percent(gain.value / now)} of it.",
        f"The law is a + b · n^-c over {law.n} runs; the interval is the bootstrap's over seeds and holds only "
        "if the law goes on as it does within the data. Every size had the same number of epochs, so more data "
        "was also more steps.",
    ]
    if law.held_out is not None:
        said.append(
            f"A check of that: fitted without the largest size, it says {law.held_out:.4g} there; "
            f"measured {now:.4g} ({law.held_out / now - 1:+.0%})."
        )
    figure = sweep_learning_curve.plot(law, sizes=sizes, train=train, val=val, measure=measure.name)
    drawing = Drawing("data_size", "Loss against training size", "", png_bytes(figure))
    table = Table(("", measure.name, "95 % interval"), tuple(rows))
    return Section("What more data would buy", tuple(said), table, (drawing,))


def pareto_section(record: StudyRecord) -> Section | None:
    """Two objectives against each other."""
    if len(record.directions) != 2:
        return None
    points = {t.number: (t.values[0], t.values[1]) for t in record.complete}
    front = [(number, points[number]) for number in record.front]
    names = (record.objectives[0], record.objectives[1])
    figure = sweep_pareto.plot(list(points.values()), front, names=names)
    said = (
        f"{len(front)} of {len(points)} trials are on the front: to do better in one, they give up the other."
    )
    return Section("Front", (said,), None, (Drawing("pareto", "Pareto front", "", png_bytes(figure)),))


def failures_section(record: StudyRecord) -> Section | None:
    """Why trials failed, the most frequent first."""
    reasons = Counter(t.failure or "unknown" for t in record.trials if t.state == "failed")
    rows = tuple((reason, str(count)) for reason, count in reasons.most_common(10))
    return Section("Failures", (), Table(("reason", "trials"), rows)) if rows else None


def _estimate(e: Estimate) -> tuple[str, str]:
    return f"{e.value:.4g}", "" if math.isnan(e.low) else f"{e.low:.4g} … {e.high:.4g}"


def _interval(e: Estimate) -> str:
    return "" if math.isnan(e.low) else f" (95 % interval {e.low:.2g} … {e.high:.2g})"


def _number(value: float) -> str:
    """A loss with its digits, a count of parameters in full."""
    return f"{value:,.0f}" if abs(value) >= 1000 and value == round(value) else f"{value:.5g}"


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _short(value: Any) -> str:
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
