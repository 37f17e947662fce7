"""trainspotter: findings with a severity, worst first; no confidence. It reads losses and rate.

A validation loss that climbs to 1.5 times its minimum is "divergence" to it, and it then plays its
own "overfitting" down to a remark. Where the training loss did not diverge, its "overfitting"
comes first for us.
"""

from __future__ import annotations

from protocol import Curves, Named, Verdict, has_loss, main, verdict_of
from trainspotter import Run, run_all

MEANING = {
    "divergence of train/loss": "unstable",
    "divergence of eval/loss": "overfitting",
    "overfitting of eval/loss": "overfitting",
    "spikes of train/loss": "unstable",
    "spikes of eval/loss": "unstable",
    "plateau of train/loss": "does_not_fit",
    "lr_schedule of lr": None,  # the schedule's form, such as no warm-up
    "eval_noise of eval/loss": None,  # about choosing a checkpoint
    "loss_floor of train/loss": None,  # a hint at leaked labels
}
# The names that its own readers give these columns.
NAMES = {"train_loss": "train/loss", "val_loss": "eval/loss", "learning_rate": "lr"}


def ranked(names: list[str]) -> list[Named]:
    """Return the findings in the tool's order, with overfitting first where it explains them."""
    if "divergence of train/loss" not in names:
        names = sorted(names, key=lambda name: name != "overfitting of eval/loss")
    return [Named(name) for name in names]


def judge(curves: Curves) -> Verdict:
    run = Run()
    for name, values in curves.items():
        for epoch, value in enumerate(values):
            if value is not None:
                run.add_point(NAMES.get(name, name), epoch, value)
    run.finalize()
    names = [f"{f.detector} of {f.metric}" for f in run_all(run)]
    return verdict_of(ranked(names), MEANING, judged=has_loss(curves))


if __name__ == "__main__":
    main(judge)
