"""A comparison of runs: the lines of each metric, the runs left out, the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from pipeline.errors import DataError
from pipeline.reporting.run_comparison import compare_runs, comparison_table
from pipeline.runs.compared import RunGroup, named_runs
from written_runs import gradient_signals, history_rows, write_description, write_run


@pytest.fixture
def group(project: Path) -> RunGroup:
    """A recurrent network, and an mlp without signals."""
    signals = gradient_signals([[3.0, 4.0], [1.0, 2.0]], [1, 4], num_time_steps=28)
    write_run(project, history_rows(2.0, 1.0), name="rnn", signals=signals)
    write_run(project, history_rows(3.0), name="mlp")
    return named_runs(["rnn", "mlp"], root=project)


def drawn(axes: Axes) -> list[list[float]]:
    """The heights of all lines."""
    return [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]


def test_a_curve_is_drawn_over_the_epochs_of_each_run(group: RunGroup) -> None:
    comparison = compare_runs(group, "val/loss")
    (axes,) = comparison.figure.axes
    assert drawn(axes) == [[2.0, 1.0], [3.0]]
    assert [line.get_xdata().tolist() for line in axes.get_lines()] == [[1.0, 2.0], [1.0]]  # type: ignore[union-attr]
    assert comparison.left_out == ()


def test_a_metric_of_both_parts_has_the_training_part_behind(group: RunGroup) -> None:
    (axes,) = compare_runs(group, "loss").figure.axes
    assert [line.get_linestyle() for line in axes.get_lines()] == ["-", ":", "-", ":"]


def test_gradients_are_drawn_before_and_after_training(group: RunGroup) -> None:
    before, after = compare_runs(group, "gradients").figure.axes
    assert (drawn(before), drawn(after)) == ([[3.0, 2.0]], [[1.0, 1.0]])


@pytest.mark.parametrize("metric", ["gradients", "time_gradients"])
def test_a_run_without_the_metric_is_left_out(group: RunGroup, metric: str) -> None:
    assert compare_runs(group, metric).left_out == ("mlp",)


def test_a_metric_that_no_run_has_is_refused_with_those_that_they_have(group: RunGroup) -> None:
    with pytest.raises(DataError, match=r"learning_rate: no run of rnn_mlp has it.*val/loss"):
        compare_runs(group, "learning_rate")


def test_the_table_of_gradients_has_the_first_relative_to_the_last(group: RunGroup) -> None:
    header, rnn, mlp = comparison_table(group, "gradients")
    assert header[:2] == ["run", "first/last gradient"]
    assert (rnn[1], mlp[1]) == ("1.5", "-")  # (3 / √1) / (4 / √4)


def test_the_table_shows_the_kept_epoch_not_the_last(project: Path) -> None:
    write_run(project, history_rows(0.5, 0.7), name="kept")
    write_description(project, name="kept", kept_epoch=1)
    _, row = comparison_table(named_runs(["kept"], root=project), "val/loss")
    assert row[:3] == ["kept", "0.5", "0.5"]


def test_runs_with_different_losses_are_known_by_their_settings(project: Path) -> None:
    for name, loss in (("a", "cross_entropy"), ("b", "focal"), ("c", "focal")):
        write_run(project, history_rows(1.0), name=name)
        write_description(project, name=name, settings={"loss": {"name": loss}})
    assert named_runs(["a", "b"], root=project).minimise_different_losses
    assert not named_runs(["b", "c"], root=project).minimise_different_losses
