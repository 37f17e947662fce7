"""The progress line fits its terminal, and its time left falls while the trials run."""

from __future__ import annotations

import time

import pytest

from pipeline.sweep.progress import TimeLeft, _followed, progress_line

DETAILS = ["best 0.031416 (#17)", "2 running", "1 failed", "12 pruned", "25 complete"]


def line(width: int, *, title: str = "sweep-1a2b3c4d", ascii_only: bool = False) -> str:
    return progress_line(
        title,
        done=38,
        total=40,
        details=DETAILS,
        left_s=75.4,
        width=width,
        ascii_only=ascii_only,
    )


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 160])
def test_the_line_fits_and_keeps_the_count_and_the_time(width: int) -> None:
    text = line(width, title="a_study_with_quite_a_long_name")
    assert len(text) <= width
    assert text.endswith("1 min 15 s left")
    assert "38/40" in text


def test_details_go_from_the_least_important_one() -> None:
    assert line(79) == "sweep-1a2b3c4d  38/40  best 0.031416 (#17), 2 running  1 min 15 s left"


def test_a_wide_terminal_shows_everything() -> None:
    bar = "#" * 19 + "-"
    details = ", ".join(DETAILS)
    text = line(160, ascii_only=True)
    assert text == f"sweep-1a2b3c4d  {bar}  38/40  {details}  1 min 15 s left"


def test_the_time_left_counts_the_part_of_a_running_trial() -> None:
    left = TimeLeft()
    # Two workers: 8 waiting trials of 10 s, and two that still need 6 s each.
    assert left.update(waiting=8, running_s=[4.0, 4.0], ended_s=[10.0, 10.0]) == pytest.approx(46)


def test_the_time_left_is_unknown_before_the_first_trial_has_ended() -> None:
    assert TimeLeft().update(waiting=9, running_s=[3.0], ended_s=[]) is None


def test_the_time_left_of_equal_trials_falls_every_second_to_zero() -> None:
    left, shown = TimeLeft(), []
    for second in range(10, 101):  # one worker, ten trials of 10 s
        ended, running = divmod(second, 10)
        at_work = [float(running)] if ended < 10 else []
        waiting = 10 - ended - len(at_work)
        seconds = left.update(waiting=waiting, running_s=at_work, ended_s=[10.0] * ended)
        shown.append(seconds)
    assert shown == [pytest.approx(100 - second) for second in range(10, 101)]


def test_the_time_left_does_not_climb_while_a_trial_takes_longer_than_the_others() -> None:
    left = TimeLeft()
    shown = [
        left.update(waiting=3, running_s=[float(second)], ended_s=[10.0, 10.0])
        for second in range(20)
    ]
    assert shown == sorted(shown, reverse=True)


def test_the_time_left_rises_where_trials_turn_out_much_longer() -> None:
    left = TimeLeft()
    assert left.update(waiting=9, running_s=[0.0], ended_s=[10.0]) == pytest.approx(100)
    assert left.update(waiting=8, running_s=[0.0], ended_s=[10.0, 90.0]) == pytest.approx(450)


@pytest.mark.usefixtures("signals_of_a_terminal")
@pytest.mark.parametrize("error", [BrokenPipeError, SystemExit])
def test_a_reader_that_leaves_interrupts_the_sweep(error: type[BaseException]) -> None:
    class ClosedPipe:
        def update(self) -> None:
            raise error

    with pytest.raises(KeyboardInterrupt), _followed(ClosedPipe()):
        time.sleep(20)  # the trials of the sweep
        raise AssertionError("the sweep went on")
