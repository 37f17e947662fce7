"""What a sweep says, on studies whose answer is known, and on a real one from the search to the page."""

from __future__ import annotations

import csv
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from pipeline import cli
from pipeline.config import compose
from pipeline.errors import SpaceError, SweepError
from pipeline.sweep.analysis import importances, read_study
from pipeline.sweep.study import FOLDER, SPACE

SOURCE = Path(__file__).parents[1] / "src"
PNG = b"\x89PNG\r\n\x1a\n"
optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna.db'}"


def new_study(folder: Path, name: str, *, fixed: tuple[str, ...] = (), directions: int = 1) -> optuna.Study:
    study = optuna.create_study(
        storage=storage(folder), study_name=name, directions=["minimize"] * directions
    )
    study.set_user_attr(SPACE, {"parameters": {}, "fixed": ["tracking=none", *fixed]})
    study.set_user_attr(FOLDER, "multirun/x")
    return study


def add(
    study: optuna.Study,
    params: dict[str, Any],
    distributions: dict[str, Any],
    values: list[float],
    **told: Any,
) -> None:
    study.add_trial(
        optuna.trial.create_trial(params=params, distributions=distributions, values=values, user_attrs=told)
    )


def planted(folder: Path, name: str = "planted", *, n: int = 120) -> optuna.Study:
    """Dropout decides (best at 0.5: below it overfits, above it underfits), width and weight decay do nothing."""
    study, rng = new_study(folder, name), np.random.default_rng(0)
    space = {
        "model.dropout": FloatDistribution(0.0, 0.9),
        "optimizer.weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
        "optimizer": CategoricalDistribution(["adam", "adamw"]),
    }
    for i in range(n):
        x = float(rng.uniform(0, 0.9))
        train = 0.1 + max(0.0, x - 0.5) + float(rng.normal(0, 0.003))
        val = train + max(0.0, 0.5 - x)
        params = {
            "model.dropout": x,
            "optimizer.weight_decay": float(10 ** rng.uniform(-6, -2)),
            "optimizer": ["adam", "adamw"][i % 2],
        }
        told: dict[str, Any] = {"objective": "val/loss", "metrics": {"train/loss": train, "val/loss": val}}
        if name == "judged":
            told["diagnosis.verdict"] = "overfitting" if x < 0.5 else "underfitting"
        add(study, params, space, [val], **told)
    return study


def run(line: str, monkeypatch: pytest.MonkeyPatch, *, code: int = 0) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main() == code


def test_the_planted_setting_is_the_important_one(tmp_path: Path) -> None:
    planted(tmp_path)
    found = importances(read_study(storage(tmp_path), "planted"), num_bootstrap=40)
    assert next(iter(found)) == "model.dropout"
    assert found["model.dropout"].low > 0.6
    assert sum(e.value for e in found.values()) == pytest.approx(1)
    assert all(e.high < 0.4 for k, e in found.items() if k != "model.dropout")


def test_without_an_important_setting_none_stands_out(tmp_path: Path) -> None:
    study, rng = new_study(tmp_path, "noise"), np.random.default_rng(1)
    space = {k: FloatDistribution(0.0, 1.0) for k in "abcd"}
    for _ in range(100):
        add(study, {k: float(rng.uniform()) for k in "abcd"}, space, [float(rng.normal())])
    found = importances(read_study(storage(tmp_path), "noise"), num_bootstrap=40)
    assert all(e.low < 0.25 for e in found.values())


def test_the_page_says_what_was_planted(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(project)
    run("sweep-report study=planted", monkeypatch)
    told = capsys.readouterr().out
    folder = project / "results" / "sweeps" / "planted"
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    for name in ("importance", "curve_model.dropout", "curve_optimizer.weight_decay"):
        assert (folder / f"{name}.png").read_bytes().startswith(PNG)
    assert "Clearly more than an equal share: model.dropout." in told
    row = next(
        line
        for line in told.splitlines()
        if line.startswith("model.dropout") and "…" in line and "fit" in line
    )
    assert row.index("overfit") < row.index("…") < row.index("underfit")
    # conf/ has model.dropout=0.2: on the overfit side.
    assert row.rstrip().endswith("overfit")
    decay = [line for line in told.splitlines() if line.startswith("optimizer.weight_decay")]
    assert any("no difference seen" in line for line in decay)  # it was planted to do nothing
    assert "do not show that the setting matters" in page
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 120
    assert {r["state"] for r in rows} == {"complete"}
    best = min(rows, key=lambda r: float(r["val/loss"]))
    _, values = compose(["experiment=planted_best"], root=project)
    assert values["model"]["dropout"] == float(best["model.dropout"])
    assert values["optimizer"]["name"] == best["optimizer"]
    assert "pipeline train experiment=planted_best" in told


def test_verdicts_are_shown_where_there_are_any(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(project, "judged", n=40)
    planted(project, "unjudged", n=40)
    run("sweep-report study=judged", monkeypatch)
    told = capsys.readouterr().out
    assert re.search(r"overfitting +\d+ +\d+", told)
    assert (project / "results" / "sweeps" / "judged" / "verdicts.png").is_file()
    run("sweep-report study=unjudged", monkeypatch)
    assert "Verdicts" not in capsys.readouterr().out


def test_a_study_of_data_size_tells_what_more_data_buys(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study(project, "sizes")
    fractions, rng = [0.01, 0.03, 0.1, 0.3, 1.0], np.random.default_rng(0)
    space = {"data.fraction": CategoricalDistribution(fractions), "seed": CategoricalDistribution([0, 1, 2])}
    for fraction in fractions:
        for seed in range(3):
            loss = 0.1 + 4 * (2000 * fraction) ** -0.5 * float(rng.normal(1, 0.01))
            metrics = {"train/loss": loss / 2, "val/loss": loss}
            add(
                study,
                {"data.fraction": fraction, "seed": seed},
                space,
                [loss],
                objective="val/loss",
                metrics=metrics,
            )
    run("sweep-report study=sizes", monkeypatch)
    told = capsys.readouterr().out
    exponent = next(line for line in told.splitlines() if line.startswith("exponent c"))
    assert float(exponent.split()[2]) == pytest.approx(0.5, abs=0.03)
    twice = next(line for line in told.splitlines() if line.startswith("4,000 images, extrapolated"))
    assert float(twice.split()[3]) == pytest.approx(0.1 + 4 * 4000**-0.5, rel=0.02)
    assert (project / "results" / "sweeps" / "sizes" / "data_size.png").is_file()


def test_two_objectives_have_a_front(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study(project, "two", directions=2)
    for width in (8, 16, 32, 64):
        for extra in (0.0, 0.5):
            space = {"model.width": optuna.distributions.IntDistribution(1, 64)}
            add(
                study,
                {"model.width": width},
                space,
                [1 / width + extra, 1000 * width],
                objective=["val/loss", "parameters"],
            )
    run("sweep-report study=two", monkeypatch)
    told = capsys.readouterr().out
    assert "4 of 8 trials are on the front" in told
    assert re.search(r"#6 +0\.015625 +64,000 +model\.width=64", told)
    assert (project / "results" / "sweeps" / "two" / "pareto.png").read_bytes().startswith(PNG)
    assert compose(["experiment=two_best"], root=project)[1]["model"]["width"] == 64


def test_what_cannot_be_reported_is_told(project: Path) -> None:
    with pytest.raises(SweepError, match="Run a sweep first"):
        read_study(storage(project), "x")
    assert not (project / "optuna.db").exists()
    new_study(project, "empty")
    optuna.create_study(storage=storage(project), study_name="strange")
    with pytest.raises(SpaceError, match=r"study=x: there is no such study. Known are: empty, strange"):
        read_study(storage(project), "x")
    with pytest.raises(SweepError, match="no completed trial"):
        read_study(storage(project), "empty")
    with pytest.raises(SpaceError, match="another program"):
        read_study(storage(project), "strange")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("sweep-report name=x", "sweep-report knows"),
        ("sweep-report study=x seeds=1", "seeds=1: must be"),
        ("sweep-report study=x retrain=yes", "true or false"),
        ("sweep-report study=x", "Run a sweep first"),
    ],
)
def test_a_bad_line_is_one_message(
    line: str, word: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    assert cli.main() in (1, 2)
    told = capsys.readouterr()
    assert word in told.err
    assert not (project / "results").exists()


@pytest.mark.slow
def test_a_real_sweep_from_the_search_to_the_page(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.stages.sweep import PARENT_RUN
    from pipeline.tracking import Tracker

    run(
        "train -m model.dropout=interval(0.0,0.8) optimizer=adam,sgd model.width=16 trainer.max_epochs=2 "
        "n_trials=12 study_name=real hydra/sweeper/pruner=none",
        monkeypatch,
    )
    run("sweep-report study=real retrain=true seeds=2", monkeypatch)
    told = capsys.readouterr().out
    assert "[6/6]" in told
    assert re.search(r"± \S+ \(n=2\)", told)
    lines = (project / "results" / "sweeps" / "real" / "retrained.csv").read_text().splitlines()
    assert len(lines) == 7
    study = optuna.load_study(study_name="real", storage=storage(project))
    parent = study.user_attrs[PARENT_RUN]
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project)
    client, experiments = tracker.client, [e.experiment_id for e in tracker.client.search_experiments()]
    query = f"tags.`mlflow.parentRunId` = '{parent}' and tags.`pipeline.kind` = 'retrain'"
    children = client.search_runs(experiments, query)
    assert sorted(c.data.metrics["kept/val/loss"] for c in children) == sorted(
        float(line.split(",")[2]) for line in lines[1:]
    )
    assert {c.info.status for c in children} == {"FINISHED"}
    names = {Path(f.path).name for f in client.list_artifacts(parent, "sweep_report")}
    assert {"report.html", "importance.png", "trials.csv", "real_best.yaml"} <= names
    # Nothing is trained a second time, and what was re-trained stays in the report.
    run("sweep-report study=real retrain=true seeds=2", monkeypatch)
    again = capsys.readouterr().out
    assert "[1/" not in again
    assert "(n=2)" in again


def test_on_a_terminal_one_line_follows_the_sweep(tmp_path: Path) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("sweep_app.py")), "-m", "x=range(0,12)", "steps=5", "sleep=0.1"],
        cwd=tmp_path, stderr=side, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "160"},
    )  # fmt: skip
    os.close(side)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    assert process.stdout is not None
    written = process.stdout.read()
    assert process.wait(timeout=60) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "12/12" in shown
    assert "12 complete" in shown
    assert "1 running" in shown
    assert "best 0 (#3)" in shown
    assert re.search(r"\d+ s left", shown)
    assert "[1/12]" not in written  # the line stands for those of the trials
    assert "best: 0 by #3" in written
