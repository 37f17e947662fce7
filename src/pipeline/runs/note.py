"""What MLflow shows of a run at first: its curves, and a description with the verdict.

Everything else is in the run's artifacts, as the same files that lie in ``results/<name>/``.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.diagnosis import Diagnosis
from pipeline.evaluation.metrics_files import HEADLINE

# Of some hundred signals, the one that people look for as a curve, and its name there.
GRADIENT_NORM, GRADIENT_NORM_CURVE = "signals/training_gradient_norm/mean", "train/gradient_norm"
# MLflow's page of a run lists metrics in the order in which it has met them.
_FIRST = ("val/accuracy", "val/loss", "train/accuracy", "train/loss", "learning_rate")


def curves(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of an epoch that become curves in MLflow: all but those of time."""
    wanted = dict.fromkeys([*(name for name in _FIRST if name in metrics), *metrics])
    return {name: metrics[name] for name in wanted if not name.startswith("time/")}


def of_training(kept: Mapping[str, float], diagnosis: Diagnosis | None) -> str:
    """Return the description of a run that has just ended. kept: metrics of its kept epoch."""
    accuracy = kept.get("val/accuracy")
    words = "" if accuracy is None else f"Validation accuracy **{percent(accuracy)}**. "
    return f"{words}{_verdict(diagnosis)}".strip()


def of_model(name: str, numbers: Mapping[str, float], diagnosis: Diagnosis | None) -> str:
    """Return the description of the run of a model.

    numbers: of its evaluation, by full names; empty for a model that is not evaluated.
    """
    low, high = (numbers.get(HEADLINE[end]) for end in ("acc_low", "acc_high"))
    sentences = []
    if numbers:
        interval = "" if low is None or high is None else f" [{percent(low)}, {percent(high)}]"
        sentences.append(f"Test accuracy **{percent(numbers[HEADLINE['acc']])}**{interval}.")
    sentences.append(_verdict(diagnosis))
    if diagnosis is not None and diagnosis.findings:
        sentences.append(f"Why, and what helps: `pipeline diagnose name={name}`")
    return " ".join(sentence for sentence in sentences if sentence)


def _verdict(diagnosis: Diagnosis | None) -> str:
    return "" if diagnosis is None else f"Verdict: **{diagnosis.in_words}**."


def percent(share: float) -> str:
    """Return a share as text: ``97.86 %``."""
    return f"{100 * share:.2f} %"
