"""The end of a sweep: ``optimization_results.yaml``, and its line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import yaml

from pipeline.config.overrides import value_text
from pipeline.errors import NoTrialCompleted
from pipeline.files import write_atomically
from pipeline.sweep import progress
from pipeline.sweep.constraints import is_feasible
from pipeline.sweep.seed_groups import study_front, study_groups, summary
from pipeline.sweep.trial import objective_names
from pipeline.sweep.trial_seeds import over_seeds

_COMPLETE = (optuna.trial.TrialState.COMPLETE,)


def write_results(study: optuna.Study, folder: Path) -> None:
    """Write ``optimization_results.yaml``, under the names of the published plugin."""
    best = [t for t in study.best_trials if t.values]
    if not best:
        return
    results: dict[str, Any] = {"name": "optuna", "study_name": study.study_name}
    groups = study_groups(study)
    if groups:
        group = groups[0]
        if not group.feasible:
            return
        results |= {
            "best_params": group.params,
            "best_value": group.mean,
            "best_trials": [trial.number for trial in group.trials],
            "standard_deviation": group.spread,
        }
    elif len(study.directions) == 1:
        results |= {
            "best_params": best[0].params,
            "best_value": best[0].value,
            "best_trial": best[0].number,
        }
        if seeds := over_seeds(best[0].user_attrs):
            results |= {"standard_deviation": seeds.spread, "seeds": list(seeds.seeds)}
    elif front := study_front(study):
        results["solutions"] = [
            {"params": g.params, "values": list(g.means), "trials": [t.number for t in g.trials]}
            for g in front
        ]
    else:
        results["solutions"] = [{"params": t.params, "values": list(t.values)} for t in best]
    text = yaml.safe_dump(results, sort_keys=False)
    write_atomically(folder / "optimization_results.yaml", text.encode())


def print_end(study: optuna.Study, counts: Mapping[str, int]) -> None:
    """Print the result, unless a watcher does. Raises `NoTrialCompleted` where there is none."""
    if not counts["complete"]:
        raise NoTrialCompleted(
            f"study {study.study_name}: no trial was completed ({progress.outcomes(counts)}), "
            "so there is no best one."
        )
    if progress.watched():
        return
    print(f"study {study.study_name}: {progress.outcomes(counts)}")
    groups = study_groups(study)
    if groups and groups[0].feasible:
        print(summary(groups))
    elif groups:
        print(
            "no settings keep hydra.sweeper.constraints with all seeds, so there are no best ones"
        )
    elif not any(map(is_feasible, study.get_trials(deepcopy=False, states=_COMPLETE))):
        print("no completed trial keeps hydra.sweeper.constraints, so there is no best one")
    elif len(study.directions) == 1:
        best = study.best_trial
        settings = " ".join(f"{key}={value_text(v)}" for key, v in best.params.items())
        seeds = over_seeds(best.user_attrs)
        value = seeds.in_words if seeds else f"{best.value:.6g}"
        named = " ".join(["best", *objective_names(best.user_attrs)])
        print(f"{named}: {value} by #{best.number}: {settings}")
    elif front := study_front(study):
        print(
            f"{len(front)} settings on the Pareto front, by their means over seeds; "
            "see optimization_results.yaml"
        )
    else:
        print(f"{len(study.best_trials)} trials on the Pareto front; see optimization_results.yaml")
