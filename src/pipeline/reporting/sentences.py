"""Numbers as people read them, and the sentences of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipeline.diagnosis.foreign_proof import DIFFERENCE
from pipeline.diagnosis.paired_trials import CONFIRMED, HARMFUL, NOT_CONFIRMED
from pipeline.diagnosis.proof import Verification
from pipeline.diagnosis.record import (
    FAMILY_WORDS,
    HEALTHY,
    UNDETERMINED,
    Diagnosis,
)
from pipeline.records import Estimate, best_epoch
from pipeline.reporting.model_report import ModelReport

_SPACE = "\N{NO-BREAK SPACE}"
_NONE = "–"
_HUGE = 1e6  # from here on a number is written with its power of ten


def percent(share: float, *, digits: int = 2) -> str:
    """Return ``0.98765`` as ``98.77 %``, with a no-break space."""
    return f"{100 * share:.{digits}f}{_SPACE}%"


def nats(value: float) -> str:
    """Return four digits, as in ``0.03217``."""
    return f"{value:.4g}"


def count(number: float | None) -> str:
    """Return ``1200000`` as ``1,200,000``; a dash for None."""
    return _NONE if number is None else f"{number:,.0f}"


def whole_percent(share: Estimate) -> str:
    """Return ``18 % [12, 24]``, without a negative zero."""
    value, low, high = (round(100 * x) for x in (share.value, share.low, share.high))
    return f"{value}{_SPACE}% [{low}, {high}]"


def plain_percent(share: Estimate) -> str:
    """Return `whole_percent` with plain spaces, for a terminal and for files."""
    return whole_percent(share).replace(_SPACE, " ")


def lowers(by: Estimate) -> str:
    """Return what a change did to a loss: ``lowers it by 18 % [13, 22]``, or the times it rises."""
    if by.value >= -1:
        return f"lowers it by {plain_percent(by)}"
    times, low, high = (1 - share for share in (by.value, by.high, by.low))
    return f"raises it to {times:.1f} times [{low:.1f}, {high:.1f}]"


def p_heading(verification: Verification) -> str:
    """Return the heading of the p-values: how they allow for several remedies, or several looks."""
    return "p (Holm)" if verification.stop == "fixed" else "p (at any time)"


def change(by: Estimate, scale: str) -> str:
    """Return an improvement: ``21 % [15, 26]``, ``0.4 % [0.2, 0.6]`` or ``0.012 [0.01, 0.014]``.

    scale: ``ratio`` or ``difference``. An end of the interval may be infinite.
    """
    factor, unit = (1.0, "") if scale == DIFFERENCE else (100.0, " %")
    value, low, high = (factor * x for x in (by.value, by.low, by.high))
    finite = [abs(x) for x in (value, low, high) if math.isfinite(x)]
    largest = max(finite, default=0.0)
    digits = 0 if unit and largest >= 10 else max(1, 2 - _magnitude(largest))
    shown = [_rounded(x, digits) for x in (value, low, high)]
    return f"{shown[0]}{unit} [{shown[1]}, {shown[2]}]"


def _magnitude(size: float) -> int:
    """Return the power of ten of a number, for example -2 for 0.03; 0 for 0."""
    return math.floor(math.log10(size)) if size else 0


def _rounded(value: float, digits: int) -> str:
    """Return a number without a negative zero; ∞ where it is not finite."""
    if not math.isfinite(value):
        return "-∞" if value < 0 else "∞"
    if abs(value) >= _HUGE:
        return f"{value:.3g}"
    return f"{round(value, digits) + 0.0:.{digits}f}"


def lead(model: ModelReport) -> str:
    """Return the most important sentence on a model: its verdict, or else its result."""
    if model.diagnosis is None:
        return of_model(model)
    return of_verdict(model.diagnosis, model.verification)


def numbers(model: ModelReport) -> list[tuple[str, str, str]]:
    """Return the model's line of the summary: label, value, and interval or nothing."""
    size, epochs = model.metrics.get("model/num_parameters"), model.metrics.get("train/epochs")
    return [
        ("Accuracy", *with_interval(model, "accuracy", percent)),
        ("Cross-entropy", *with_interval(model, "cross_entropy", nats)),
        ("Macro F1", *with_interval(model, "f1_macro", percent)),
        ("Calibration error", *with_interval(model, "calibration_error", percent)),
        ("Parameters", count(size), ""),
        ("Epochs", count(epochs), ""),
    ]


def of_verdict(diagnosis: Diagnosis, verification: Verification | None) -> str:
    """Return the diagnosis in one sentence, with the remedy that was proved."""
    verdict = _verdict(diagnosis)
    if verification is None or verification.claim is None or not verification.proved:
        return verdict
    claim = verification.claim
    return (
        f"{verdict.rstrip('.')}; proved to help: {words(claim.arm)}, "
        f"test loss falls by {whole_percent(claim.remedy)}."
    )


def _verdict(diagnosis: Diagnosis) -> str:
    verdict = diagnosis.in_words.capitalize()
    if diagnosis.findings:
        fault = diagnosis.findings[0].what
        return f"{verdict}: {fault[:1].lower()}{fault[1:]}"
    if diagnosis.reason:
        return f"{verdict}: {diagnosis.reason.rstrip('.')}."
    if diagnosis.told_by == "shape":
        return f"{verdict}: {FAMILY_WORDS[HEALTHY]}."
    return f"{verdict}: no rule finds a fault in its training."


# A verdict's tone is the colour of its badge; every other verdict is a fault.
_TONES = {
    HEALTHY: "good",
    UNDETERMINED: "open",
    CONFIRMED: "good",
    NOT_CONFIRMED: "open",
    HARMFUL: "bad",
    "control": "open",
}


def tone(verdict: str) -> str:
    """Return the tone of a verdict: good, open or bad."""
    return _TONES.get(verdict, "bad")


def words(verdict: str) -> str:
    """Return ``learning_rate_too_high`` as ``learning rate too high``."""
    return verdict.replace("_", " ")


def estimate(model: ModelReport, name: str) -> Estimate | None:
    """Return a test metric with its interval; None where a part of it was not measured."""
    keys = (f"test/{name}", f"test/{name}_low", f"test/{name}_high")
    if not all(key in model.metrics for key in keys):
        return None
    value, low, high = (model.metrics[key] for key in keys)
    return Estimate(
        value=value, low=low, high=high, n=int(model.metrics.get("test/num_examples", 0))
    )


def with_interval(model: ModelReport, name: str, form: Callable[[float], str]) -> tuple[str, str]:
    """Return a test metric and its interval as text.

    The metric is a dash where it was not measured, and the interval empty.
    """
    measured = estimate(model, name)
    if measured is None:
        value = model.metrics.get(f"test/{name}")
        return (_NONE if value is None else form(value)), ""
    return form(measured.value), f"{form(measured.low)} … {form(measured.high)}"


def of_model(model: ModelReport) -> str:
    """Return the result of a model and the course of its training, in one sentence."""
    parts = (_accuracy(model), _training(model), weakest_class(model))
    return "; ".join(part for part in parts if part) + "."


def _accuracy(model: ModelReport) -> str:
    accuracy = estimate(model, "accuracy")
    if accuracy is None:
        return "It has no test results yet"
    of = f" of {count(accuracy.n)} test images" if accuracy.n else " of the test images"
    return (
        f"It gets {percent(accuracy.value)}{of} right "
        f"(95{_SPACE}% interval {percent(accuracy.low)} to {percent(accuracy.high)})"
    )


def _training(model: ModelReport) -> str:
    epochs = len(model.history)
    if not epochs:
        return ""
    trained = f"trained for {epochs} epoch{'s' if epochs > 1 else ''}"
    best = best_epoch(model.history)
    if best is None:
        return trained
    return f"{trained}, the lowest validation loss in epoch {best.epoch + 1}"


def of_all(models: Sequence[ModelReport]) -> str:
    """Return which model leads, and which others are too close to call.

    models: the best first.
    """
    best, *others = models
    accuracy = estimate(best, "accuracy")
    if accuracy is None:
        return ""
    if not others:
        return f"{best.name} reaches a test accuracy of {percent(accuracy.value)}."

    measured = [(other.name, estimate(other, "accuracy")) for other in others]
    close = [name for name, other in measured if other is not None and other.high >= accuracy.low]
    ahead = f"{best.name} has the highest test accuracy, {percent(accuracy.value)}"
    if not close:
        return f"{ahead}; no other model's interval reaches its own."
    verb = "overlaps" if len(close) == 1 else "overlap"
    return f"{ahead}. The interval of {', '.join(close)} {verb} its own: that order may be chance."


def weakest_class(model: ModelReport) -> str:
    """Return the class with the lowest F1; empty where none was measured."""
    prefix = "test/f1/"
    scores = {
        key.removeprefix(prefix): v for key, v in model.metrics.items() if key.startswith(prefix)
    }
    if not scores:
        return ""
    name = min(sorted(scores), key=lambda each: scores[each])
    return f"the weakest class is {name} with an F1 of {percent(scores[name])}"
