"""Users of the published Hydra plugin recognize its settings, results file and overrides.

The application knows nothing of this package: it is a function of a configuration that returns one
number, several numbers, or raises.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState

SOURCE = Path(__file__).parents[2] / "src"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
APPLICATION = """
import os
from pathlib import Path
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def sphere(cfg):
    with Path("seen.txt").open("a") as file:
        file.write(f"{os.getpid()} {sorted(cfg)} {cfg.get('w')}\\n")
    if cfg.error:
        raise RuntimeError("on purpose")
    squares = [float(cfg[name]) ** 2 for name in "xyz" if name in cfg]
    return squares[:2] if cfg.several else sum(squares)

def configure(cfg, trial):
    trial.suggest_float("z", trial.params["x"] - cfg.distance, trial.params["x"] + cfg.distance)

if __name__ == "__main__":
    sphere()
"""
CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: tpe
hydra:
  sweep:
    dir: multirun
  sweeper:
    sampler:
      seed: 123
    direction: minimize
    study_name: sphere
    storage: sqlite:///optuna.db
    n_trials: 12
    n_jobs: 1
    max_failure_rate: 0.0
    params:
      x: range(-5.5,5.5,step=0.5)
      y: choice(-5,0,5)
x: 1
y: 1
z: 0
distance: 0.5
error: false
several: false
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    (tmp_path / "sphere.py").write_text(APPLICATION)
    return tmp_path


def run(app: Path, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "sphere.py", "-m", *arguments],
        cwd=app,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    assert (done.returncode == 0) == (code == 0), done.stdout
    return done.stdout


def trials(app: Path, name: str = "sphere") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{app / 'optuna.db'}").trials


def results(app: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (app / "multirun" / "optimization_results.yaml").read_text()
    )
    return found


def seen(app: Path) -> list[str]:
    return (app / "seen.txt").read_text().splitlines()


def test_its_settings_in_a_config_file_mean_what_they_meant(app: Path) -> None:
    run(app)
    found = trials(app)
    assert len(found) == 12
    assert {t.params["x"] for t in found} <= {-5.5 + 0.5 * i for i in range(22)}
    assert {t.params["y"] for t in found} <= {-5, 0, 5}
    assert all(t.value == t.params["x"] ** 2 + t.params["y"] ** 2 for t in found)
    best = min(found, key=lambda t: t.values[0])
    assert results(app) == {
        "name": "optuna",
        "study_name": "sphere",
        "best_params": best.params,
        "best_value": best.value,
        "best_trial": best.number,
    }


def test_its_settings_on_the_command_line_too(app: Path) -> None:
    run(
        app,
        "hydra.sweeper.n_trials=5",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.study_name=up",
        "hydra.sweeper.storage=sqlite:///other.db",
        "hydra/sweeper/sampler=random",
        "hydra.sweeper.sampler.seed=7",
        "hydra.sweeper.params.x='interval(-1,1)'",
        "hydra.sweeper.max_failure_rate=0.5",
    )
    assert not (app / "optuna.db").exists()
    found = optuna.load_study(study_name="up", storage=f"sqlite:///{app / 'other.db'}").trials
    assert len(found) == 5
    assert all(-1 <= t.params["x"] <= 1 for t in found)
    assert results(app)["best_value"] == max(t.values[0] for t in found)


def test_a_value_on_the_command_line_takes_the_place_of_a_swept_one(app: Path) -> None:
    run(app, "y=3", "x=1,2", "hydra.sweeper.n_trials=4")
    found = trials(app)
    assert {frozenset(t.params) for t in found} == {frozenset({"x"})}
    assert {t.params["x"] for t in found} == {1, 2}
    assert all(t.value == t.params["x"] ** 2 + 9 for t in found)


def test_several_numbers_have_several_directions_and_solutions(app: Path) -> None:
    run(
        app,
        "several=true",
        "hydra/sweeper/sampler=nsgaii",
        "hydra.sweeper.direction=[minimize,maximize]",
    )
    values = [tuple(t.values) for t in trials(app)]
    front = {a for a in values if not any(b[0] <= a[0] and b[1] >= a[1] and b != a for b in values)}
    solutions = results(app)["solutions"]
    assert {tuple(s["values"]) for s in solutions} == front
    assert all(set(s["params"]) == {"x", "y"} for s in solutions)


def test_a_function_adds_to_the_search_space(app: Path) -> None:
    run(app, "hydra.sweeper.custom_search_space=sphere.configure")
    found = trials(app)
    assert len(found) == 12
    for t in found:
        assert abs(t.params["z"] - t.params["x"]) <= 0.5
        assert math.isclose(t.values[0], sum(t.params[k] ** 2 for k in "xyz"))


def test_overrides_that_delete_and_add_reach_the_task(app: Path) -> None:
    run(
        app,
        "~z",
        "+w=1,2",
        "x=0",
        "y=0",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.study_name=keys",
    )
    assert {t.params["+w"] for t in trials(app, "keys")} == {1, 2}
    assert {line.split(" ", 1)[1][:-2] for line in seen(app)} == {
        str(sorted({"w", "x", "y", "distance", "error", "several"}))
    }
    assert {line[-1] for line in seen(app)} == {"1", "2"}


def test_one_failure_ends_a_sweep_that_allows_none(app: Path) -> None:
    output = run(app, "error=true", code=1)
    assert "max_failure_rate=0 allows" in output
    assert "RuntimeError: on purpose" in output
    assert [t.state for t in trials(app)] == [TrialState.FAIL]


@pytest.mark.slow
def test_n_jobs_are_workers_side_by_side(app: Path) -> None:
    run(app, "hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=40")
    assert len(trials(app)) == 40
    assert len({line.split()[0] for line in seen(app)}) == 2


def test_storage_null_is_in_memory_so_a_study_of_the_same_name_begins_anew(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setitem(ENVIRONMENT, "TMPDIR", str(scratch))
    null = "hydra.sweeper.storage=null"
    for start in (1, 2):
        run(app, null, "hydra.sweeper.n_trials=4")
        assert len(seen(app)) == 4 * start
        assert results(app)["study_name"] == "sphere"
    run(app, null, "hydra.sweeper.n_trials=2", "x=range(0,3)", "hydra.sweeper.params=null")
    assert len(seen(app)) == 10  # another search space under the same name is no conflict
    assert not (app / "optuna.db").exists() and not list(app.glob("*.lock"))
    assert not list(scratch.iterdir())


def test_workers_share_a_study_in_memory(app: Path) -> None:
    joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")
    run(app, "hydra.sweeper.storage=null", "hydra.sweeper.n_trials=4", *joblib)
    assert len(seen(app)) == 4


def test_the_default_storage_stands_in_the_configuration(app: Path) -> None:
    config = (app / "conf" / "config.yaml").read_text()
    (app / "conf" / "config.yaml").write_text(
        config.replace("    storage: sqlite:///optuna.db\n", "")
    )
    printed = subprocess.run(
        [sys.executable, "sphere.py", "--cfg", "hydra", "-p", "hydra.sweeper"],
        cwd=app, env=ENVIRONMENT, text=True, capture_output=True, check=True, timeout=120,
    ).stdout  # fmt: skip
    assert "storage: sqlite:///optuna.db" in printed


def test_a_study_whose_budget_is_used_writes_its_results_where_it_is_asked_to(app: Path) -> None:
    run(app, "hydra.sweeper.n_trials=3")
    first = results(app)
    run(app, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=again")
    assert len(seen(app)) == 3
    again = yaml.safe_load((app / "again" / "optimization_results.yaml").read_text())
    assert again == first
