"""The progress: one total over all sweeps, and a time left that falls with the clock."""

from __future__ import annotations

import pytest

from pipeline.sweep.analysis import FinishedTrial
from pipeline.verification.progress import RunProgress, Workload


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def ended(number: int, *, state: str = "complete", seconds: float = 10.0) -> FinishedTrial:
    values = (0.5,) if state == "complete" else ()
    return FinishedTrial(number, state, values, {"seed": number}, {}, None, seconds, None)


def followed(*, runs: int) -> RunProgress:
    progress = RunProgress("verify mlp")
    progress.expect(runs=runs, cost=runs)
    for study in ("arms", "reseed"):
        progress.follow(
            study, label_of=lambda t: f"dropout, seed {t.number}", cost_of=lambda t: 1.0
        )
    return progress


def test_the_time_left_is_unknown_before_the_first_run_ends() -> None:
    work = Workload(clock=Clock())
    work.expect(runs=4, cost=4)
    assert work.seconds_left() is None


def test_the_time_left_falls_with_the_clock_while_a_run_lasts() -> None:
    clock = Clock()
    work = Workload(clock=clock)
    work.expect(runs=4, cost=4)
    work.ended(cost=1, seconds=10)
    assert work.seconds_left() == 30
    clock.now = 25
    assert work.seconds_left() == 5
    clock.now = 100
    assert work.seconds_left() == 0


@pytest.mark.parametrize(
    ("cost_left", "parallel", "seconds"),
    [
        pytest.param(3, 1, 30, id="plain_runs"),
        pytest.param(30, 1, 300, id="runs_that_take_longer"),
        pytest.param(30, 2, 150, id="two_side_by_side"),
    ],
)
def test_the_time_left_counts_cost_and_workers(
    cost_left: float, parallel: int, seconds: float
) -> None:
    work = Workload(clock=Clock(), parallel=parallel)
    work.expect(runs=4, cost=1 + cost_left)
    work.ended(cost=1, seconds=10)
    assert work.seconds_left() == seconds


def test_runs_of_all_sweeps_share_one_total(capsys: pytest.CaptureFixture[str]) -> None:
    progress = followed(runs=3)
    progress.update("arms", [], running=1)
    progress.update("arms", [ended(0), ended(1, state="failed")], running=0)
    progress.update("reseed", [], running=1)
    progress.update("reseed", [ended(0)], running=0)
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] dropout, seed 0: validation loss 0.5000; 20 s left",
        "[2/3] dropout, seed 1: diverged; 10 s left",
        "[3/3] dropout, seed 0: validation loss 0.5000",
    ]


def test_runs_that_are_known_count_once_and_give_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = followed(runs=3)
    for _ in range(2):
        progress.known(("arm", 0), cost=1, seconds=10)
    progress.follow("arms", label_of=lambda t: f"seed {t.number}", cost_of=lambda t: 1.0, seen={0})
    progress.update("arms", [ended(0), ended(1)], running=0)
    assert capsys.readouterr().out.splitlines() == [
        "[2/3] seed 1: validation loss 0.5000; 10 s left"
    ]


def test_the_time_of_the_patient_counts_as_one_more_run() -> None:
    work = Workload(clock=Clock(), typical_s=20, parallel=2)
    work.expect(runs=4, cost=4)
    assert work.seconds_left() == 40
    work.ended(cost=1, seconds=10)
    assert work.seconds_left() == 3 * 15 / 2


def test_a_step_has_a_total_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    progress = followed(runs=6)
    for number in range(6):
        progress.known(("arm", number), cost=1, seconds=10)
    progress.next_step("dropout, pair 4 of at most 10", 14)
    progress.expect(runs=2, cost=2)
    progress.say_step(0)
    progress.update("arms", [ended(3)], running=1)
    assert capsys.readouterr().out.splitlines() == [
        "now dropout, pair 4 of at most 10: 2 runs, about 20 s to the next decision; "
        "at most 14 may follow",
        "[1/2] dropout, seed 3: validation loss 0.5000; 10 s left",
    ]


def test_a_time_that_is_not_that_of_all_runs_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    progress = followed(runs=2)
    progress.ahead = "to the next decision"
    progress.update("arms", [], running=1)
    progress.update("arms", [ended(0)], running=1)
    assert capsys.readouterr().out.strip().endswith("10 s to the next decision")
    assert progress.line(width=80).endswith("10 s to the next decision")


def test_piped_lines_obey_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    progress = followed(runs=2)
    progress.update("arms", [], running=1)
    progress.update("arms", [ended(0)], running=0)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(line.strip() for line in lines).endswith("validation loss 0.5000; 10 s left")
    assert all(len(line) <= 30 for line in lines)


def test_the_line_of_a_terminal_fits_and_keeps_total_and_time() -> None:
    progress = RunProgress("verify a_model_with_a_very_long_name_that_does_not_fit_beside_the_rest")
    progress.expect(runs=22, cost=22)
    progress.follow("arms", label_of=lambda t: "more_data+dropout, seed 0", cost_of=lambda t: 1.0)
    progress.update("arms", [], running=1)
    progress.update("arms", [ended(0)], running=1)
    line = progress.line(width=80)
    assert len(line) <= 80
    assert "1/22" in line and line.endswith("3 min 30 s left")
