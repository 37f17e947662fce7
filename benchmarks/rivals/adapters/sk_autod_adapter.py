"""sk-autod: findings with severity and confidence, worst first. It reads the two losses.

It refuses fewer than five epochs and any NaN. Then it has no verdict: an abstention.
"""

from __future__ import annotations

from protocol import Curves, Named, Verdict, main, verdict_of
from sk_autod import diagnose

MEANING = {
    "Classic overfitting": "overfitting",
    "Missed early stopping": "overfitting",
    "Label noise floor": "label_noise",
    "Exploding gradient": "unstable",
    "LR too high": "unstable",
    "Noisy training": "unstable",
    "LR too low": "learning_rate_too_low",
    "Underfitting": "underfitting",
    "Dying ReLU proxy": "not_learning",
    "Data leakage": None,  # validation below training
}


def judge(curves: Curves) -> Verdict:
    epochs = zip(curves.get("train_loss", ()), curves.get("val_loss", ()), strict=False)
    both = [(train, val) for train, val in epochs if train is not None and val is not None]
    found = diagnose([train for train, _ in both], [val for _, val in both]).findings
    return verdict_of([Named(f.detector_name, f.confidence) for f in found], MEANING)


if __name__ == "__main__":
    main(judge)
