"""The share of each setting in reaching the best trials of a study.

This is not in `analysis`, because Optuna's evaluators import scikit-learn, which no worker needs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection

from pipeline.records import Estimate
from pipeline.sweep.analysis import StudyRecord

LEAST_TRIALS = 10


def importances(
    record: StudyRecord, *, num_bootstrap: int = 100, seed: int = 0
) -> dict[str, Estimate]:
    """Return each setting's share (0 … 1, sum 1) in reaching the best trials, the largest first.

    PED-ANOVA (Watanabe et al., IJCAI 2023, arXiv:2304.10255) over the completed trials. The
    interval is a 95 % bootstrap over trials. A draw holds some trials several times, which favours
    no setting over another. Empty for fewer than 10 completed trials or for one setting.
    """
    complete = [t for t in record.frozen if t.state.name == "COMPLETE"]
    n = len(complete)
    if n < LEAST_TRIALS or len(record.keys) < 2:
        return {}

    shares = _importance(record.directions, complete)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(num_bootstrap):
        drawn = [complete[i] for i in rng.integers(n, size=n)]
        draws.append(_importance(record.directions, drawn))

    estimates = {}
    for key, value in shares.items():
        # A conditional setting may be missing from a draw: there it explains nothing.
        low, high = np.quantile([draw.get(key, 0.0) for draw in draws], [0.025, 0.975])
        estimates[key] = Estimate(value, min(float(low), value), max(float(high), value), n)
    return dict(sorted(estimates.items(), key=lambda item: -item[1].value))


def _importance(
    directions: Sequence[str], trials: Sequence[optuna.trial.FrozenTrial]
) -> dict[str, float]:
    study = optuna.create_study(directions=[StudyDirection[d.upper()] for d in directions])
    study.add_trials(trials)
    # The best tenth, but at least five trials: the method is unstable with fewer.
    share = max(0.1, min(0.5, 5 / len(trials)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares: dict[str, float] = get_param_importances(study, evaluator=evaluator)
    return shares
