"""Several runs in one picture: which runs, what tells them apart, the numbers drawn, and what is refused."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import cli
from pipeline.errors import ConfigError, DataError
from pipeline.evaluation.signal_file import FILE_NAME, write_signals
from pipeline.evaluation.tables import write_history_csv
from pipeline.records import EpochRecord, SignalRecord
from pipeline.reporting.run_lines import Line, Panel, plot
from pipeline.stages.compare import METRICS, by_layer, by_time_step, compare, parse
from pipeline.stages.compared_runs import MOST_RUNS, multirun, named_runs


def history(*losses: float, accuracy: float = 0.5) -> list[EpochRecord]:
    """One row an epoch, of 10 steps and 2 s each."""
    return [
        EpochRecord(
            epoch=epoch,
            step=10 * (epoch + 1),
            metrics={
                **{f"{part}/{name}": loss for part in ("train", "val") for name in ("loss", "cross_entropy")},
                "val/accuracy": accuracy,
                "time/epoch_s": 2.0,
            },
        )
        for epoch, loss in enumerate(losses)
    ]


def signals(gradients: list[list[float]], num_weights: list[int], *, in_time: int = 0) -> SignalRecord:
    """A record with these gradient norms ``[E, L]``, and ``in_time`` time steps where there are any."""
    moments = len(gradients)
    arrays = {
        "epochs": np.arange(-1, moments - 1),
        "layers/gradient_norm": np.array(gradients, dtype=np.float32),
        "layers/num_weights": np.array(num_weights),
        "units/dead": np.zeros((moments, 0), dtype=np.float32),
    }
    if in_time:
        arrays["time_step/gradient_norm"] = np.geomspace(1e-6, 1.0, in_time)[np.newaxis].repeat(moments, 0)
    layers = [f"layer{i}" for i in range(len(num_weights))]
    return SignalRecord(arrays, {"layers": json.dumps(layers), "activations": "[]"})


def write_run(
    output: Path, rows: list[EpochRecord], *, name: str = "mlp", record: SignalRecord | None = None
) -> None:
    write_history_csv(output / "results" / name / "history.csv", rows)
    if record:
        write_signals(output / "results" / name / FILE_NAME, record)


def job(folder: Path, overrides: list[str]) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    return folder


@pytest.fixture
def sweep(project: Path) -> Path:
    """Eleven jobs, the last one without a history; what differs are two settings."""
    folder = project / "multirun" / "day" / "time"
    for number in range(11):
        made = job(folder / str(number), ["seed=1", f"model.width={number}", f"penalty={number % 2}"])
        if number < 10:
            write_run(made, history(2.0, 1.0 + number))
    job(folder / "workers" / "w-0", ["seed=1"])  # Hydra's folder of a worker is no run
    return folder


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return cli.main()


# --- which runs ---------------------------------------------------------------------------------------


def test_jobs_of_a_multirun_are_in_order_and_named_by_what_differs(sweep: Path, project: Path) -> None:
    group = multirun(sweep, name="x", root=project)
    assert group.heading == "width · penalty"
    assert [r.label for r in group.runs] == [f"{i} · {i % 2}" for i in range(10)]
    assert group.missing == ("10 · 0",)
    assert [r.history.curves["val/loss"][-1] for r in group.runs] == [1.0 + i for i in range(10)]
    assert {(r.steps, r.seconds) for r in group.runs} == {(20, 4.0)}


def test_a_setting_that_all_share_tells_nothing_apart(project: Path) -> None:
    for number, value in enumerate(("relu", "tanh")):
        made = job(project / "runs" / str(number), ["model.depth=3", f"activation={value}"])
        write_run(made, history(1.0))
    group = multirun(project / "runs", name="x", root=project)
    assert [r.label for r in group.runs] == ["relu", "tanh"]
    assert group.heading == "activation"


def test_models_are_found_by_name_and_a_missing_one_is_told(project: Path) -> None:
    for name in ("deep", "wide"):
        write_run(project, history(1.0, 0.5), name=name)
    assert [r.label for r in named_runs(["wide", "deep"], root=project).runs] == ["wide", "deep"]
    with pytest.raises(DataError, match=r"wied.*Did you mean wide\?(.|\n)*pipeline train name=wied"):
        named_runs(["deep", "wied"], root=project)


def test_long_lists_of_names_make_a_short_folder(project: Path) -> None:
    names = [f"a_rather_long_name_{i}" for i in range(4)]
    for name in names:
        write_run(project, history(1.0), name=name)
    assert named_runs(names, root=project).name == "a_rather_long_name_0_and_3_more"


def test_more_runs_than_a_picture_holds_are_refused(project: Path) -> None:
    for number in range(MOST_RUNS + 1):
        write_run(job(project / "runs" / str(number), [f"seed={number}"]), history(1.0))
    with pytest.raises(DataError, match=rf"{MOST_RUNS + 1} runs.*sweep-report"):
        multirun(project / "runs", name="x", root=project)


def test_a_folder_without_runs_or_without_histories_is_refused(project: Path) -> None:
    (project / "empty").mkdir()
    with pytest.raises(DataError, match="holds no run"):
        multirun(project / "empty", name="x", root=project)
    job(project / "failed" / "0", ["seed=1"])
    with pytest.raises(DataError, match="none of its 1 runs"):
        multirun(project / "failed", name="x", root=project)
    (project / "failed" / "0" / ".hydra" / "overrides.yaml").write_text("a: [")
    with pytest.raises(DataError, match="not a list of overrides"):
        multirun(project / "failed", name="x", root=project)


# --- what is measured ---------------------------------------------------------------------------------


def test_gradients_of_layers_are_per_root_of_their_weights() -> None:
    record = signals([[8.0, 3.0], [2.0, 6.0]], [16, 9])
    found = by_layer(record)
    assert found is not None
    np.testing.assert_allclose(found, [[2.0, 1.0], [0.5, 2.0]])


def test_what_was_not_measured_is_none() -> None:
    assert by_layer(SignalRecord({}, {})) is None
    assert by_layer(signals([[]], [])) is None
    assert by_time_step(signals([[1.0]], [1])) is None


def test_a_picture_and_a_table_come_out(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(project, history(2.0, 0.25, accuracy=0.9), name="a", record=signals([[1e-5, 1.0]] * 3, [1, 1]))
    write_run(project, history(2.0, math.nan), name="b", record=signals([[4.0, 2.0]] * 3, [1, 1]))
    for metric in ("val/loss", "loss", "val/accuracy", "gradients"):
        assert run(f"compare names=[a,b] metric={metric}", monkeypatch) == 0
        picture = project / "results" / "compare" / "a_b" / f"{metric.replace('/', '_')}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
        told = capsys.readouterr().out
        assert str(picture.relative_to(project)) in told
        table = {line.split()[0]: line for line in told.splitlines()}
        assert "0.25" in table["a"] and "90.00%" in table["a"] and "20" in table["a"]
        assert "nan" not in told
        assert table["b"].endswith("diverged") and not table["a"].endswith("diverged")
        assert ("1e-05" in table["a"] and "2" in table["b"]) == (metric == "gradients")


def test_runs_without_the_measure_are_left_out_and_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(project, history(1.0), name="rnn", record=signals([[1.0]], [1], in_time=28))
    write_run(project, history(1.0), name="mlp")
    group = named_runs(["rnn", "mlp"], root=project)
    compare(group, metric="time_gradients", root=project)
    assert "left out, without time_gradients: mlp" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"learning_rate: no run of rnn_mlp has it.*val/loss"):
        compare(group, metric="learning_rate", root=project)
    assert not (project / "results" / "compare" / "rnn_mlp" / "learning_rate.png").exists()


def test_a_multirun_is_compared_by_its_folder(
    sweep: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare multirun/day/time", monkeypatch) == 0
    assert "left out, without val/loss: 10 · 0" in capsys.readouterr().out
    assert (project / "results" / "compare" / "day_time" / "val_loss.png").is_file()


# --- the drawing --------------------------------------------------------------------------------------


def lines(*values: list[float]) -> list[Line]:
    return [Line(f"run{i}", np.arange(1.0, len(v) + 1), np.array(v)) for i, v in enumerate(values)]


def test_lines_are_told_apart_without_colour() -> None:
    figure = plot([Panel("t", "x", lines(*([[1.0, 2.0]] * MOST_RUNS)))])
    drawn = {(line.get_marker(), str(line.get_linestyle())) for line in figure.axes[0].get_lines()}
    assert len(drawn) == MOST_RUNS


def test_each_name_begins_with_the_sign_of_its_line_and_none_overlap() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1.0], [1.0, 1.001], [1.0, 2.0]))])
    notes = [a for a in figure.axes[0].texts if "run" in a.get_text()]
    assert [a.get_text() for a in notes] == ["● run0", "■ run1", "▲ run2"]
    heights = sorted(float(a.xy[1]) for a in notes)  # type: ignore[attr-defined]
    assert min(np.diff(heights)) > 0.06
    assert max(heights) <= 1.0


def test_decades_are_logarithmic_and_zeros_are_told() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1e-6], [0.0, 0.0], [math.nan, math.inf]))])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    told = " ".join(text.get_text() for text in axes.texts)
    assert "run1 (0)" in told and "run2 (not finite)" in told
    assert plot([Panel("t", "x", lines([1.0, 0.5]))]).axes[0].get_yscale() == "linear"


def test_a_run_that_ran_away_does_not_flatten_the_others() -> None:
    figure = plot([Panel("t", "x", lines([1.0, 1e30], [1.0, 0.5], [1.0, 0.7]))])
    assert figure.axes[0].get_ylim()[1] < 1e6


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(DataError, match="No run has a number"):
        plot([Panel("t", "x", lines([math.nan], [math.inf]))])


# --- the command line ---------------------------------------------------------------------------------


def test_defaults_and_every_metric_parse() -> None:
    found = parse(["names=[a, b]"])
    assert (found.names, found.metric) == (("a", "b"), "val/loss")
    assert {parse(["study=x", f"metric={m}"]).metric for m in METRICS} == set(METRICS)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("", "say once what to compare"),
        ("study=x names=[a,b]", "say once what to compare"),
        ("study=x study=y", "study=y: compare takes"),
        ("study=", "study=: compare takes"),
        ("model=mlp", "model=mlp: compare takes"),
        ("study=x metric=val/los", "Did you mean val/loss?"),
        ("names=[a]", "two models or more"),
        ("names=[a,a]", "each once"),
        ("names=[a,../b]", "two models or more"),
    ],
)
def test_a_bad_line_is_told(line: str, word: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(line.split())
    assert word in str(error.value)
