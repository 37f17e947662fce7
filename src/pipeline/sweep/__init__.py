"""Sweeps: Optuna behind Hydra's multirun, in workers that share one budget of trials."""

from pipeline.sweep.trial import RunningTrial, current_trial, report

__all__ = ["RunningTrial", "current_trial", "report"]
