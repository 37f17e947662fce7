"""training-doctor: diagnoses with severity and confidence, at the step where each arose.

It reads the losses and the rate, and waits for 10 to 200 logged numbers before a rule speaks. The
training loss must be called ``loss``, or most of its rules never see it. The rules say a thing
again later in the run; the surest of the worst severity counts.
"""

from __future__ import annotations

from protocol import Curves, Named, Verdict, has_loss, main, verdict_of
from training_doctor import Doctor, Severity

MEANING = {
    "lr_too_high": "unstable",
    "lr_too_low": "learning_rate_too_low",
    "plateau": "does_not_fit",
    "overfitting": "overfitting",
    "gradient_instability": "unstable",
}
NAMES = {"train_loss": "loss", "val_loss": "eval_loss", "learning_rate": "lr"}
WORST_FIRST = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


def judge(curves: Curves) -> Verdict:
    doctor = Doctor()
    for epoch in range(max(map(len, curves.values()))):
        row = {NAMES.get(n, n): v[epoch] for n, v in curves.items() if epoch < len(v)}
        doctor.store.log(epoch, **{n: value for n, value in row.items() if value is not None})
    found = sorted(doctor.analyze(), key=lambda d: (WORST_FIRST.index(d.severity), -d.confidence))
    named = [Named(d.detector_name, d.confidence) for d in found]
    return verdict_of(named, MEANING, judged=has_loss(curves))


if __name__ == "__main__":
    main(judge)
