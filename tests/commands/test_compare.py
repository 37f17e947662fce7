"""``pipeline compare``: the picture, the table, and the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import pytest

from command_line import read_line
from pipeline import cli
from pipeline.commands.compare import Metric, group_of
from pipeline.errors import ConfigError
from pipeline.reporting.run_comparison import METRICS
from written_runs import gradient_signals, history_rows, write_job, write_run


@pytest.fixture
def two_models(project: Path) -> Path:
    """A model ``a`` and a model ``b`` that diverged, both with signals."""
    write_run(
        project,
        history_rows(2.0, 0.25, accuracy=0.9),
        name="a",
        signals=gradient_signals([[1e-5, 1.0]] * 3, [1, 1]),
    )
    write_run(
        project,
        history_rows(2.0, float("nan")),
        name="b",
        signals=gradient_signals([[4.0, 2.0]] * 3, [1, 1]),
    )
    return project


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return cli.main()


@pytest.mark.parametrize("metric", ["val/loss", "loss", "val/accuracy", "gradients"])
def test_the_picture_of_a_metric_is_written_and_named(
    two_models: Path,
    metric: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(f"compare names=[a,b] metric={metric}", monkeypatch) == 0
    picture = Path("results/compare/a_b", f"{metric.replace('/', '_')}.png")
    assert (two_models / picture).read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.endswith(f"picture: {picture}\n")


def test_the_table_has_a_row_a_model(
    two_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare names=[a,b]", monkeypatch) == 0
    header, a, b, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "run",
        "train",
        "CE",
        "val",
        "CE",
        "val",
        "accuracy",
        "steps",
        "seconds",
        "verdict",
    ]
    assert a.split()[:6] == ["a", "0.25", "0.25", "90.00%", "20", "4.0"]
    assert b.split() == ["b", "-", "-", "50.00%", "20", "4.0", "diverged"]


def test_runs_without_the_metric_are_named(
    two_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(two_models, history_rows(1.0), name="c")
    assert run("compare names=[a,c] metric=gradients", monkeypatch) == 0
    assert "left out, without gradients: c\n" in capsys.readouterr().out


def test_a_metric_that_no_run_has_is_refused_and_nothing_is_written(
    two_models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare names=[a,b] metric=time_gradients", monkeypatch) == 1
    assert "metric=time_gradients: no run of a_b has it" in capsys.readouterr().err
    assert not (two_models / "results" / "compare").exists()


def test_a_multirun_is_compared_by_its_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project / "multirun" / "day" / "time"
    write_run(write_job(folder / "0", ["seed=1"]), history_rows(1.0))
    write_job(folder / "1", ["seed=2"])
    assert run("compare multirun/day/time", monkeypatch) == 0
    assert "left out, without val/loss: 2\n" in capsys.readouterr().out
    assert (project / "results" / "compare" / "day_time" / "val_loss.png").is_file()


def test_defaults_and_every_metric_parse() -> None:
    options = read_line("compare", "names=[a, b]").options
    assert (options.names, options.metric) == (("a", "b"), "val/loss")
    assert get_args(Metric) == METRICS


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "study: missing. Give one of study=, names=, folder="),
        ("study=x names=[a,b]", "names=[a,b]: give only one of study="),
        ("study=x study=y", "study=y: study is given twice"),
        ("study=", "study=: has no value"),
        ("model=mlp", "model=mlp: unknown option of compare"),
        ("study=x metric=val/los", "Did you mean val/loss?"),
        ("names=[a]", "two runs or more"),
        ("names=[a,a]", "each once"),
        ("names=[a,../b]", "names=[a,../b]: must be [name, …]"),
    ],
)
def test_a_bad_line_is_told(line: str, word: str) -> None:
    with pytest.raises(ConfigError) as error:
        group_of(read_line("compare", *line.split()))
    assert word in str(error.value)
