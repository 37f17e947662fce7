"""The report on a sweep, for studies with a known answer and for a real one."""

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
from pipeline.sweep.analysis import read_study
from pipeline.sweep.importance import importances
from pipeline.sweep.study import FOLDER, SPACE
from pipeline.sweep.trial import PARENT_RUN
from pipeline.tracking import Tracker
from sweep_process import ENVIRONMENT

PNG = b"\x89PNG\r\n\x1a\n"
optuna.logging.set_verbosity(optuna.logging.WARNING)


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'optuna.db'}"


def new_study(
    folder: Path, name: str, *, fixed: tuple[str, ...] = (), directions: int = 1
) -> optuna.Study:
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
    **attributes: Any,
) -> None:
    study.add_trial(
        optuna.trial.create_trial(
            params=params, distributions=distributions, values=values, user_attrs=attributes
        )
    )


def planted(folder: Path, name: str = "planted", *, n: int = 120) -> optuna.Study:
    """Make a study in which only dropout decides: below 0.5 it overfits, above it underfits."""
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
        attributes: dict[str, Any] = {
            "objective": "val/loss",
            "metrics": {"train/loss": train, "val/loss": val},
        }
        if name == "judged":
            attributes["diagnosis.verdict"] = "overfitting" if x < 0.5 else "underfitting"
        add(study, params, space, [val], **attributes)
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


@pytest.fixture
def reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str]:
    """The folder of the planted study's report, and its printed text."""
    planted(project)
    run("sweep-report study=planted", monkeypatch)
    return project / "results" / "sweeps" / "planted", capsys.readouterr().out


def test_the_page_stands_alone_and_has_its_pictures(reported: tuple[Path, str]) -> None:
    folder, _ = reported
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    for name in ("importance", "curve_model.dropout", "curve_optimizer.weight_decay"):
        assert (folder / f"{name}.png").read_bytes().startswith(PNG)


def test_the_report_names_the_planted_setting_and_its_sides(reported: tuple[Path, str]) -> None:
    folder, text = reported
    assert "Clearly more than an equal share: model.dropout." in text
    lines = text.splitlines()
    (row,) = [r for r in lines if r.startswith("model.dropout") and "overfit" in r]
    assert row.index("overfit") < row.index("…") < row.index("underfit")
    # conf/ has model.dropout=0.2: on the overfit side.
    assert row.rstrip().endswith("overfit")
    decay = [line for line in lines if line.startswith("optimizer.weight_decay")]
    assert any("no difference seen" in line for line in decay)  # it was planted to do nothing
    assert "do not show that the setting matters" in (folder / "report.html").read_text()


def test_the_best_trial_of_the_table_becomes_an_experiment(
    reported: tuple[Path, str], project: Path
) -> None:
    folder, text = reported
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 120
    assert {r["state"] for r in rows} == {"complete"}
    best = min(rows, key=lambda r: float(r["val/loss"]))
    values = compose(["experiment=planted_best"], root=project).values
    assert values["model"]["dropout"] == float(best["model.dropout"])
    assert values["optimizer"]["name"] == best["optimizer"]
    assert "pipeline train experiment=planted_best" in text


def test_verdicts_are_shown_where_there_are_any(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted(project, "judged", n=40)
    planted(project, "unjudged", n=40)
    run("sweep-report study=judged", monkeypatch)
    text = capsys.readouterr().out
    assert re.search(r"overfitting +\d+ +\d+", text)
    assert (project / "results" / "sweeps" / "judged" / "verdicts.png").is_file()
    run("sweep-report study=unjudged", monkeypatch)
    assert "Verdicts" not in capsys.readouterr().out


def test_a_study_of_data_size_finds_the_planted_law(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_sizes(project)
    run("sweep-report study=sizes", monkeypatch)
    text = capsys.readouterr().out
    exponent = next(line for line in text.splitlines() if line.startswith("exponent c"))
    assert float(exponent.split()[2]) == pytest.approx(0.5, abs=0.03)
    twice = next(line for line in text.splitlines() if line.startswith("4,000 images, extrap"))
    assert float(twice.split()[3]) == pytest.approx(0.1 + 4 * 4000**-0.5, rel=0.02)
    assert (project / "results" / "sweeps" / "sizes" / "data_size.png").is_file()


def planted_sizes(folder: Path) -> None:
    """Make a study of data size that follows the law 0.1 + 4 · n^-0.5 for up to 2,000 images."""
    study = new_study(folder, "sizes")
    fractions, rng = [0.01, 0.03, 0.1, 0.3, 1.0], np.random.default_rng(0)
    space = {
        "data.fraction": CategoricalDistribution(fractions),
        "seed": CategoricalDistribution([0, 1, 2]),
    }
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


def test_seeds_are_one_row_and_a_lucky_one_does_not_win(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dropout 0.1 has the best single run, 0.5 the best mean."""
    study = new_study(project, "seeds")
    space = {
        "model.dropout": CategoricalDistribution([0.1, 0.5]),
        "seed": CategoricalDistribution([0, 1]),
    }
    for dropout, losses in ((0.1, (1.0, 5.0)), (0.5, (2.0, 2.5))):
        for seed, loss in enumerate(losses):
            params = {"model.dropout": dropout, "seed": seed}
            add(study, params, space, [loss], objective="val/loss", metrics={"val/loss": loss})
    run("sweep-report study=seeds", monkeypatch)
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.startswith("#")]
    assert rows[0] == ["#2,", "#3", "2.25", "0.35", "2", "model.dropout=0.5"]
    assert rows[1][:3] == ["#0,", "#1", "3"]
    written = (project / "conf" / "experiment" / "seeds_best.yaml").read_text()
    assert "val/loss 2.25 ± 0.35 over 2 seeds" in written
    assert compose(["experiment=seeds_best"], root=project).values["model"]["dropout"] == 0.5


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
    text = capsys.readouterr().out
    assert "4 of 8 trials are on the front" in text
    assert re.search(r"#6 +0\.015625 +64,000 +model\.width=64", text)
    assert (project / "results" / "sweeps" / "two" / "pareto.png").read_bytes().startswith(PNG)
    assert compose(["experiment=two_best"], root=project)[1]["model"]["width"] == 64


def limited(folder: Path, name: str, *, directions: int, kept: int) -> None:
    """Ten trials, of which only the last ones, the worst, keep the limit."""
    study = new_study(folder, name, directions=directions)
    space = {"model.width": optuna.distributions.IntDistribution(1, 64)}
    for number in range(10):
        study.enqueue_trial({"model.width": number + 1})
        trial = study.ask(space)
        trial.set_constraint("seconds", 1.0 if number < 10 - kept else -1.0)
        study.tell(trial, [float(number)] * directions)


@pytest.mark.parametrize("directions", [1, 2])
def test_a_sweep_in_which_nothing_keeps_the_limit_has_a_report(
    directions: int, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    limited(project, "none", directions=directions, kept=0)
    run("sweep-report study=none", monkeypatch)
    text = " ".join(capsys.readouterr().out.split())
    assert "No completed trial keeps the limits of the sweep" in text
    assert "It exceeds a limit" in (project / "conf" / "experiment" / "none_best.yaml").read_text()


def test_a_trial_that_exceeds_a_limit_is_marked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    limited(project, "some", directions=1, kept=1)
    run("sweep-report study=some", monkeypatch)
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    assert rows[0] == ["#9", "9", "kept", "model.width=10"]
    assert rows[1] == ["#0", "0", "exceeded", "model.width=1"]


def test_the_page_names_the_whole_path_of_the_database(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project / "mine@home"
    folder.mkdir()
    limited(folder, "some", directions=1, kept=1)
    run(f"sweep-report study=some storage={storage(folder)}", monkeypatch)
    assert storage(folder) in (project / "results/sweeps/some/report.html").read_text()


def test_a_study_without_a_report_is_refused(project: Path) -> None:
    with pytest.raises(SweepError, match="Run a sweep first"):
        read_study(storage(project), "x")
    assert not (project / "optuna.db").exists()
    new_study(project, "empty")
    optuna.create_study(storage=storage(project), study_name="strange")
    with pytest.raises(SpaceError, match=r"study=x: there is no such study. Known: empty, strange"):
        read_study(storage(project), "x")
    with pytest.raises(SweepError, match="no completed trial"):
        read_study(storage(project), "empty")
    with pytest.raises(SpaceError, match="another program"):
        read_study(storage(project), "strange")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("sweep-report name=x", "unknown option of sweep-report"),
        ("sweep-report study=x seeds=1", "seeds=1: must be"),
        ("sweep-report study=x retrain=yes", "true or false"),
        ("sweep-report study=x", "Run a sweep first"),
    ],
)
def test_a_bad_line_is_one_message(
    line: str,
    word: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    assert cli.main() in (1, 2)
    printed = capsys.readouterr()
    assert word in printed.err
    assert not (project / "results").exists()


RETRAINED = "tags.`mlflow.parentRunId` = '{}' and tags.`pipeline.kind` = 'retrain'"


@pytest.mark.slow
def test_a_real_sweep_from_the_search_to_the_page(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "train -m model.dropout=interval(0.0,0.8) optimizer=adam,sgd model.width=16 "
        "trainer.max_epochs=2 n_trials=12 study_name=real hydra/sweeper/pruner=none",
        monkeypatch,
    )
    run("sweep-report study=real retrain=true seeds=2", monkeypatch)
    text = capsys.readouterr().out
    assert "[6/6]" in text
    assert re.search(r"± \S+ \(n=2\)", text)
    lines = (project / "results" / "sweeps" / "real" / "retrained.csv").read_text().splitlines()
    assert len(lines) == 7
    check_record(project, [float(line.split(",")[2]) for line in lines[1:]])

    # Nothing is trained a second time, and the report keeps the values of the first time.
    run("sweep-report study=real retrain=true seeds=2", monkeypatch)
    again = capsys.readouterr().out
    assert "[1/" not in again
    assert "(n=2)" in again


def check_record(project: Path, values: list[float]) -> None:
    """The study's run has the report, and a child of each value for each training."""
    study = optuna.load_study(study_name="real", storage=storage(project))
    client = Tracker("sqlite:///mlflow.db", experiment="mnist", root=project).client
    experiments = [e.experiment_id for e in client.search_experiments()]
    query = f"tags.`pipeline.key` = '{study.user_attrs[PARENT_RUN]}'"
    parent = client.search_runs(experiments, query)[0].info.run_id
    children = client.search_runs(experiments, RETRAINED.format(parent))
    assert sorted(c.data.metrics["kept/val/loss"] for c in children) == sorted(values)
    assert {c.info.status for c in children} == {"FINISHED"}
    names = {Path(f.path).name for f in client.list_artifacts(parent, "sweep_report")}
    assert {"report.html", "importance.png", "trials.csv", "real_best.yaml"} <= names


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal_one_line_follows_the_sweep(columns: int, tmp_path: Path) -> None:
    written, drawn = swept_on_a_terminal(tmp_path, columns)
    assert "[1/12]" not in written  # the line stands for those of the trials
    assert "best: 0 by #3" in written
    lines = [line.strip() for line in re.split(r"[\r\n]", drawn) if line.strip()]
    assert max(map(len, lines)) <= columns
    assert re.search(r"1 running.*  \d+ s left", drawn)
    assert lines[-1].endswith("12/12  best 0 (#3), 12 complete")


def swept_on_a_terminal(folder: Path, columns: int) -> tuple[str, str]:
    """Run a sweep with a terminal for its stderr; return its stdout, and the terminal's text."""
    main, side = pty.openpty()
    app = Path(__file__).parents[1] / "sweep_app.py"
    process = subprocess.Popen(
        [sys.executable, str(app), "-m", "x=range(0,12)", "steps=5", "sleep=0.1"],
        cwd=folder,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": str(columns)},
        stderr=side,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(side)
    seen = b""
    while part := read_terminal(main):
        seen += part
    written, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return written, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())


def read_terminal(main: int) -> bytes:
    try:
        return os.read(main, 65536)
    except OSError:  # the other side is closed
        return b""


def test_piped_lines_obey_columns_and_have_no_control_codes(tmp_path: Path) -> None:
    app = Path(__file__).parents[1] / "sweep_app.py"
    done = subprocess.run(
        [sys.executable, str(app), "-m", "x=1,2", "kind=a,b"],
        cwd=tmp_path,
        env={**ENVIRONMENT, "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    trials = [line for line in done.stdout.splitlines() if re.match(r"\[\d/4\]", line)]
    assert [line[:5] for line in trials] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert max(map(len, trials)) <= 40
    assert "\x1b" not in done.stdout + done.stderr
