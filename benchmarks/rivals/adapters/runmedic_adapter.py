"""runmedic: findings with a severity, worst first; no confidence. It reads losses and rate."""

from __future__ import annotations

from protocol import Curves, Named, Verdict, has_loss, main, verdict_of
from runmedic.checks import run_checks
from runmedic.model import Run
from runmedic.roles import detect

MEANING = {
    "non_finite": "unstable",
    "divergence": "unstable",
    "loss_spikes": "unstable",
    "no_learning": "not_learning",
    "overfitting": "overfitting",
    "val_below_train": None,  # "usually harmless"
    "constant_lr_plateau": None,  # advice on the schedule, after progress
}


def judge(curves: Curves) -> Verdict:
    run = Run(name="history", source="csv", path="")
    for name, values in curves.items():
        for epoch, value in enumerate(values):
            if value is not None:
                run.get(name).add(float(epoch), value)
    run.finalize()
    found = run_checks(run, detect(run))
    return verdict_of([Named(f.check) for f in found], MEANING, judged=has_loss(curves))


if __name__ == "__main__":
    main(judge)
