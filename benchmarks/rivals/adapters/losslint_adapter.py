"""losslint: findings with a severity; no confidence. It reads the losses, and NaN in any curve."""

from __future__ import annotations

from pathlib import Path

from losslint.checks import run_all_checks
from losslint.parsing import RunLog
from losslint.report import SEVERITY_RANK
from protocol import Curves, Named, Verdict, has_loss, main, verdict_of

MEANING = {
    "nan_inf": "unstable",
    "divergence": "unstable",
    "loss_spike": "unstable",
    "overfit_onset": "overfitting",
    "stagnation": "does_not_fit",  # "consider stopping or raising the LR"
}
# The names that its own reader gives these columns.
NAMES = {"train_loss": "loss", "val_loss": "eval_loss"}


def judge(curves: Curves) -> Verdict:
    num_epochs = max(map(len, curves.values()))
    series = {
        NAMES.get(name, name): values + [None] * (num_epochs - len(values))
        for name, values in curves.items()
        if any(value is not None for value in values)
    }
    log = RunLog(steps=list(range(num_epochs)), series=series, source=Path("history"))
    found = sorted(run_all_checks(log), key=lambda f: -SEVERITY_RANK[f.severity])
    return verdict_of([Named(f.check) for f in found], MEANING, judged=has_loss(curves))


if __name__ == "__main__":
    main(judge)
