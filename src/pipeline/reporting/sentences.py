"""Numbers as people read them, and the sentences of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipeline.records import Estimate
from pipeline.reporting.learning_curves import best_epoch
from pipeline.reporting.model_report import Evidence, ModelReport, ProofReport, VerdictReport

_SPACE = "\N{NO-BREAK SPACE}"
_NONE = "–"


def percent(share: float) -> str:
    """``0.98765`` as ``98.77 %``."""
    return f"{100 * share:.2f}{_SPACE}%"


def nats(value: float) -> str:
    """Four digits, as in ``0.03217``."""
    return f"{value:.4g}"


def count(number: float | None) -> str:
    """``1200000`` as ``1,200,000``; a dash where there is none."""
    return _NONE if number is None else f"{number:,.0f}"


def duration(seconds: float | None) -> str:
    """``75.3`` as ``1 min 15 s``; a dash where there is none."""
    if seconds is None or not math.isfinite(seconds):
        return _NONE
    if seconds < 60:
        return f"{seconds:.1f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def whole_percent(share: Estimate) -> str:
    """``18 % [12, 24]``."""
    value, low, high = (round(100 * x) for x in (share.value, share.low, share.high))
    return f"{value}{_SPACE}% [{low}, {high}]"


def three_digits(value: float | None, unit: str = "") -> str:
    """``0.0116×``."""
    return "not finite" if value is None else f"{value:.3g}{unit}"


def limit(evidence: Evidence) -> str:
    """``below 0.035×; epoch 10``."""
    epochs = evidence.epochs
    when = f"; epoch {epochs[0]}" if epochs and epochs[0] == epochs[1] else ""
    when = f"; epochs {epochs[0]} to {epochs[1]}" if epochs and not when else when
    return f"{evidence.wanted} {evidence.limit:.3g}{evidence.unit}{when}"


def of_verdict(diagnosis: VerdictReport, proof: ProofReport | None) -> str:
    """The diagnosis in one sentence, with the remedy that was proved."""
    said = _verdict(diagnosis)
    return f"{said.rstrip('.')}; proved to help: {proof.proved}." if proof and proof.proved else said


def _verdict(diagnosis: VerdictReport) -> str:
    sure = f"(confidence {diagnosis.confidence:.2f})"
    name = words(diagnosis.verdict).capitalize()
    if diagnosis.what:
        return f"{name} {sure}: {diagnosis.what[:1].lower()}{diagnosis.what[1:]}"
    if diagnosis.reason:
        return f"{name} {sure}: {diagnosis.reason.rstrip('.')}."
    return f"{name} {sure}: no rule finds a fault in its training."


def words(verdict: str) -> str:
    """``learning_rate_too_high`` as people say it."""
    return verdict.replace("_", " ")


def estimate(model: ModelReport, name: str) -> Estimate | None:
    """The test metric ``name`` with its interval, or None where a part of it was not measured."""
    keys = (f"test/{name}", f"test/{name}_low", f"test/{name}_high")
    if not all(key in model.metrics for key in keys):
        return None
    value, low, high = (model.metrics[key] for key in keys)
    return Estimate(value=value, low=low, high=high, n=int(model.metrics.get("test/num_examples", 0)))


def with_interval(model: ModelReport, name: str, form: Callable[[float], str]) -> tuple[str, str]:
    """The test metric ``name`` and its interval as text; a dash and nothing where there is none."""
    found = estimate(model, name)
    if found is None:
        value = model.metrics.get(f"test/{name}")
        return (_NONE if value is None else form(value)), ""
    return form(found.value), f"{form(found.low)} … {form(found.high)}"


def of_model(model: ModelReport) -> str:
    """What the model reached and how it got there, in one sentence."""
    accuracy = estimate(model, "accuracy")
    parts = []
    if accuracy is None:
        parts.append("It has no test results yet")
    else:
        of = f" of {count(accuracy.n)} test images" if accuracy.n else " of the test images"
        parts.append(
            f"It gets {percent(accuracy.value)}{of} right "
            f"(95{_SPACE}% interval {percent(accuracy.low)} to {percent(accuracy.high)})"
        )
    if model.history:
        epochs = len(model.history)
        trained = f"trained for {epochs} epoch{'s' if epochs > 1 else ''}"
        best = best_epoch(model.history)
        parts.append(trained + (f", the lowest validation loss in epoch {best.epoch + 1}" if best else ""))
    weakest = weakest_class(model)
    if weakest:
        parts.append(weakest)
    return "; ".join(parts) + "."


def of_all(models: Sequence[ModelReport]) -> str:
    """Which model is ahead, and which others are too close to call; the best comes first in ``models``."""
    best, *others = models
    accuracy = estimate(best, "accuracy")
    if accuracy is None:
        return ""
    close = []
    for other in others:
        found = estimate(other, "accuracy")
        if found is not None and found.high >= accuracy.low:
            close.append(other.name)
    ahead = f"{best.name} has the highest test accuracy, {percent(accuracy.value)}"
    if not others:
        return f"{ahead[: ahead.index(' has')]} reaches a test accuracy of {percent(accuracy.value)}."
    if not close:
        return f"{ahead}; no other model's interval reaches its own."
    verb = "overlaps" if len(close) == 1 else "overlap"
    return f"{ahead}. The interval of {', '.join(close)} {verb} its own: that order may be chance."


def weakest_class(model: ModelReport) -> str:
    """The class with the lowest F1; empty where none was measured."""
    prefix = "test/f1/"
    scores = {key.removeprefix(prefix): v for key, v in model.metrics.items() if key.startswith(prefix)}
    if not scores:
        return ""
    name = min(sorted(scores), key=lambda each: scores[each])
    return f"the weakest class is {name} with an F1 of {percent(scores[name])}"
