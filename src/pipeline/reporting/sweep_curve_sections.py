"""The sections of a sweep's report that follow its curves: each setting, the verdicts, the size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evaluation.power_law import PowerLaw, fit_power_law
from pipeline.evaluation.validation_curve import ValidationCurve, as_number
from pipeline.records import Estimate
from pipeline.reporting import sweep_curves, sweep_learning_curve, sweep_verdicts
from pipeline.reporting.sentences import percent
from pipeline.reporting.style import png_bytes
from pipeline.reporting.sweep_html import Drawing, ReportSection, Table
from pipeline.reporting.sweep_measure import NO_CURVE, SIZE, Measure, is_number
from pipeline.reporting.sweep_sections import setting_text
from pipeline.sweep.analysis import FinishedTrial, StudyRecord

_DATA_HEADING = "What more data would buy"


def curves_section(
    record: StudyRecord,
    curves: Mapping[str, ValidationCurve],
    measure: Measure,
    defaults: Mapping[str, Any],
) -> ReportSection | None:
    """Return where each setting underfits, is right, and overfits, with its default marked.

    defaults: dotted key → the value without the sweep. Returns None without a curve.
    """
    if not curves:
        return None
    rows, drawings = [], []
    for key, curve in curves.items():
        has_default = key in defaults and is_number(defaults[key])
        default = as_number(defaults[key]) if has_default else None
        rows.append(_curve_row(key, curve, default, has_default=has_default))
        figure = sweep_curves.plot(
            curve,
            name=key,
            measure=measure.name,
            default=default,
            log=key in record.log_keys,
            has_default=has_default,
        )
        drawings.append(Drawing(f"curve_{key}", key, _caption(curve), png_bytes(figure)))

    sentences = [
        "Lines are medians over trials that differ in all other settings too, bars their 95 % "
        "intervals. The sweet spot holds the values within noise (two standard errors) of the "
        "best. Beside it, a side is underfit where the training loss has risen, overfit where "
        "the gap has. One setting in twenty that does nothing shows a side by chance."
    ]
    num_pruned = sum(t.state == "pruned" for t in record.trials)
    if num_pruned:
        sentences.append(
            f"The curves lack {num_pruned} pruned trials, so they look flatter than they are. "
            "For a map of the whole space, sweep with hydra/sweeper/pruner=none "
            "hydra/sweeper/sampler=random."
        )
    head = ("setting", "below", "sweet spot", "above", "default", "which is")
    table = Table(head, tuple(rows))
    return ReportSection("Validation curves", tuple(sentences), table, tuple(drawings))


def verdicts_section(
    record: StudyRecord,
    curves: Mapping[str, ValidationCurve],
    importance: Mapping[str, Estimate],
) -> ReportSection | None:
    """Return the verdicts, of all trials and along the most important numeric setting.

    Returns None where no trial has a verdict.
    """
    judged = [t for t in record.complete if t.verdict]
    if not judged:
        return None
    numeric = [key for key in importance if key in curves] or list(curves)
    key = numeric[0] if numeric else ""
    columns = {"all trials": judged}
    if key:
        columns |= _by_bin(judged, key, curves[key])

    counts = Counter(t.verdict or "" for t in judged).most_common()
    shares = {
        verdict: [_share(verdict, column) for column in columns.values()] for verdict, _ in counts
    }
    rows = tuple((verdict, str(n), percent(n / len(judged), digits=1)) for verdict, n in counts)
    figure = sweep_verdicts.plot(shares, labels=list(columns), name=key)
    along = f"All trials, and along {key}: each column is one bin of its validation curve."
    caption = along if key else ""
    drawing = Drawing("verdicts", "Verdicts over the space", caption, png_bytes(figure))
    sentence = (
        "The diagnosis of each completed trial, from its own curves and signals "
        "(pipeline diagnose)."
    )
    table = Table(("verdict", "trials", "share"), rows)
    return ReportSection("Verdicts", (sentence,), table, (drawing,))


def data_size_section(
    record: StudyRecord, measure: Measure, *, num_train: int | None
) -> ReportSection | None:
    """Return what more data would buy; None where the study varied more than the size.

    num_train: all training images; None where the data is not on this machine.
    """
    if num_train is None or SIZE not in record.keys or set(record.keys) - set(NO_CURVE):
        return None
    runs = measure.finite(record.complete)
    sizes = [trial.params[SIZE] * num_train for trial, _, _ in runs]
    train, val = [row[1] for row in runs], [row[2] for row in runs]
    law = fit_power_law(sizes, val)
    if law is None:
        sentence = "Needs at least four training sizes with a loss above 0."
        return ReportSection(_DATA_HEADING, (sentence,))

    figure = sweep_learning_curve.plot(law, sizes=sizes, train=train, val=val, measure=measure.name)
    drawing = Drawing("data_size", "Loss against training size", "", png_bytes(figure))
    table = Table(("", measure.name, "95 % interval"), _law_rows(law))
    return ReportSection(_DATA_HEADING, _law_sentences(law, measure), table, (drawing,))


def _curve_row(
    key: str, curve: ValidationCurve, default: float | None, *, has_default: bool
) -> tuple[str, ...]:
    default_text = setting_text(default) if has_default else "–"
    if not (curve.left or curve.right):
        return (key, "–", "no difference seen", "–", default_text, "–")
    zone = (curve.zone(default) or "untried") if has_default else "–"
    left, right = curve.left or "not reached", curve.right or "not reached"
    return (key, left, curve.sweet, right, default_text, zone)


def _caption(curve: ValidationCurve) -> str:
    if curve.left is None and curve.right is None:
        return (
            "No value is worse than another beyond the noise: these trials do not show that the "
            "setting matters in this range."
        )
    if curve.left is None or curve.right is None:
        end = "lower" if curve.left is None else "upper"
        return f"The sweet spot {curve.sweet} reaches the {end} end: the best may lie beyond it."
    return f"The sweet spot is {curve.sweet}."


def _by_bin(
    trials: Sequence[FinishedTrial], key: str, curve: ValidationCurve
) -> dict[str, list[FinishedTrial]]:
    """Return the trials of each bin of a curve that has any, under the bin's label."""
    having = [(curve.place(as_number(t.params[key])), t) for t in trials if key in t.params]
    columns = {}
    for index, curve_bin in enumerate(curve.bins):
        inside = [trial for place, trial in having if place == index]
        if inside:
            columns[curve_bin.label] = inside
    return columns


def _share(verdict: str, trials: Sequence[FinishedTrial]) -> float:
    return sum(t.verdict == verdict for t in trials) / len(trials)


def _law_rows(law: PowerLaw) -> tuple[tuple[str, ...], ...]:
    largest = law.sizes[-1]
    measured = [
        (f"{n:,.0f} images, measured", f"{mean:.4g}", "")
        for n, mean in zip(law.sizes, law.means, strict=True)
    ]
    extrapolated = [
        (f"{factor * largest:,.0f} images, extrapolated", *_cells(law.at(factor * largest)))
        for factor in (2, 10)
    ]
    parameters = [("floor a", *_cells(law.floor)), ("exponent c", *_cells(law.exponent))]
    return (*measured, *extrapolated, *parameters)


def _law_sentences(law: PowerLaw, measure: Measure) -> tuple[str, ...]:
    largest, now = law.sizes[-1], law.means[-1]
    twice, gain = law.at(2 * largest), law.gain(largest)
    interval = ""
    if not math.isnan(gain.low):
        interval = f" (95 % interval {gain.low:.2g} … {gain.high:.2g})"
    sentences = [
        f"Twice the data ({2 * largest:,.0f} images) would lower the validation {measure.name} "
        f"from {now:.4g} to about {twice.value:.4g}: by {gain.value:.2g}{interval}, or "
        f"{percent(gain.value / now, digits=1)} of it.",
        f"The law is a + b · n^-c over {law.n} runs. The interval is the bootstrap's over seeds. "
        "It holds only if the law continues as it does within the data. Every size had the same "
        "number of epochs, so more data was also more steps.",
    ]
    if law.held_out is not None:
        sentences.append(
            f"A check: fitted without the largest size, the law predicts {law.held_out:.4g} "
            f"there; measured {now:.4g} ({law.held_out / now - 1:+.0%})."
        )
    return tuple(sentences)


def _cells(estimate: Estimate) -> tuple[str, str]:
    """Return an estimate and its interval; the interval is empty where there is none."""
    has_interval = not math.isnan(estimate.low)
    interval = f"{estimate.low:.4g} … {estimate.high:.4g}" if has_interval else ""
    return f"{estimate.value:.4g}", interval
