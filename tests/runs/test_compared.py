"""The runs of a comparison: found by folder or by name, labelled by their differences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.runs.compared import MOST_RUNS, RunGroup, multirun, named_runs
from written_runs import history_rows, write_job, write_run


@pytest.fixture
def sweep(project: Path) -> RunGroup:
    """Eleven jobs that differ in two settings; the last one has no history."""
    folder = project / "multirun" / "day" / "time"
    for number in range(11):
        overrides = ["seed=1", f"model.width={number}", f"penalty={number % 2}"]
        job = write_job(folder / str(number), overrides)
        if number < 10:
            write_run(job, history_rows(2.0, 1.0 + number))
    write_job(folder / "workers" / "w-0", ["seed=1"])  # Hydra's folder of a worker is no run
    return multirun(folder, name="x", root=project)


def test_jobs_of_a_multirun_come_in_the_order_of_their_numbers(sweep: RunGroup) -> None:
    ends = [run.history.curves["val/loss"][-1] for run in sweep.runs]
    assert ends == [1.0 + i for i in range(10)]


def test_jobs_of_a_multirun_are_labelled_by_the_settings_in_which_they_differ(
    sweep: RunGroup,
) -> None:
    assert sweep.differing == ("model.width", "penalty")
    assert sweep.heading == "width · penalty"
    assert [run.label for run in sweep.runs] == [f"{i} · {i % 2}" for i in range(10)]


def test_a_job_without_a_history_is_missing(sweep: RunGroup) -> None:
    assert sweep.missing == ("10 · 0",)


def test_a_run_knows_its_steps_and_seconds(sweep: RunGroup) -> None:
    assert {(run.steps, run.seconds) for run in sweep.runs} == {(20, 4.0)}


def test_a_setting_that_all_jobs_share_is_not_in_the_labels(project: Path) -> None:
    for number, activation in enumerate(("relu", "tanh")):
        overrides = ["model.depth=3", f"activation={activation}"]
        write_run(write_job(project / "runs" / str(number), overrides), history_rows(1.0))
    group = multirun(project / "runs", name="x", root=project)
    assert [run.label for run in group.runs] == ["relu", "tanh"]
    assert group.heading == "activation"


def test_a_job_without_overrides_is_labelled_by_its_number(project: Path) -> None:
    write_run(write_job(project / "runs" / "0", []), history_rows(1.0))
    (run,) = multirun(project / "runs", name="x", root=project).runs
    assert run.label == "0"


@pytest.mark.parametrize(("last", "diverged"), [(float("nan"), True), (0.5, False)])
def test_a_run_has_diverged_where_its_last_loss_is_not_finite(
    project: Path, last: float, diverged: bool
) -> None:
    write_run(project, history_rows(1.0, last), name="a")
    (run,) = named_runs(["a"], root=project).runs
    assert run.diverged is diverged


def test_models_come_in_the_order_of_their_names_on_the_command_line(project: Path) -> None:
    for name in ("deep", "wide"):
        write_run(project, history_rows(1.0, 0.5), name=name)
    group = named_runs(["wide", "deep"], root=project)
    assert [run.label for run in group.runs] == ["wide", "deep"]
    assert (group.name, group.heading) == ("wide_deep", "")


def test_a_model_without_a_history_is_refused_with_the_nearest_name(project: Path) -> None:
    for name in ("deep", "wide"):
        write_run(project, history_rows(1.0), name=name)
    message = r"wied.*Did you mean wide\?(.|\n)*pipeline train name=wied"
    with pytest.raises(DataError, match=message):
        named_runs(["deep", "wied"], root=project)


def test_a_long_list_of_names_makes_a_short_folder(project: Path) -> None:
    names = [f"a_rather_long_name_{i}" for i in range(4)]
    for name in names:
        write_run(project, history_rows(1.0), name=name)
    name = named_runs(names, root=project).name
    assert re.fullmatch("a_rather_long_name_0_and_3_more_[0-9a-f]{6}", name)
    turned = [names[0], names[2], names[1], names[3]]
    assert named_runs(turned, root=project).name != name, "another list, another folder"


def test_other_names_never_share_a_folder(project: Path) -> None:
    for name in ("a", "a_b", "b_c", "c"):
        write_run(project, history_rows(1.0), name=name)
    first, second = (named_runs(n, root=project).name for n in (["a_b", "c"], ["a", "b_c"]))
    assert first != second


def test_more_runs_than_a_picture_holds_are_refused(project: Path) -> None:
    for number in range(MOST_RUNS + 1):
        job = write_job(project / "runs" / str(number), [f"seed={number}"])
        write_run(job, history_rows(1.0))
    with pytest.raises(DataError, match=rf"{MOST_RUNS + 1} runs.*sweep-report"):
        multirun(project / "runs", name="x", root=project)


def test_a_folder_without_runs_is_refused(project: Path) -> None:
    (project / "empty").mkdir()
    with pytest.raises(DataError, match="holds no run"):
        multirun(project / "empty", name="x", root=project)


def test_a_folder_in_which_no_run_has_a_history_is_refused(project: Path) -> None:
    write_job(project / "failed" / "0", ["seed=1"])
    with pytest.raises(DataError, match="none of its 1 runs"):
        multirun(project / "failed", name="x", root=project)


def test_damaged_overrides_are_refused(project: Path) -> None:
    job = write_job(project / "runs" / "0", ["seed=1"])
    (job / ".hydra" / "overrides.yaml").write_text("a: [")
    with pytest.raises(DataError, match="not a list of overrides"):
        multirun(project / "runs", name="x", root=project)
