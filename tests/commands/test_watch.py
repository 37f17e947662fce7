"""``pipeline watch`` on a log that a second process writes."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import cli

# Writes a header and epochs in which the validation loss rises from the 11th on. Each line comes in
# two pieces, so that a reader meets half a line.
WRITER = """
import math, sys, time
path, epochs = sys.argv[1], int(sys.argv[2])
with open(path, "w", buffering=1) as file:
    file.write("epoch,loss,val_loss\\n")
    for e in range(epochs):
        val = 1.8 * math.exp(-0.25 * min(e, 10)) + 0.25 + 0.08 * max(e - 10, 0)
        line = f"{e},{1.8 * math.exp(-0.25 * e) + 0.02:.5f},{val:.5f}\\n"
        file.write(line[:-4]); file.flush(); time.sleep(0.005)
        file.write(line[-4:]); file.flush(); time.sleep(0.005)
"""
FAST = ("every=0.02",)


def writer(path: Path, epochs: int = 60) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(epochs)])


def watch(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline", "watch", *words, *FAST])
    return cli.main()


def test_a_growing_log_gets_one_line_and_a_verdict_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "training.csv"
    with writer(path) as process:
        code = watch(f"history={path}", "idle=8", monkeypatch=monkeypatch)
    told = capsys.readouterr()
    *alarms, last = told.out.splitlines()
    assert (code, process.returncode, told.err) == (0, 0, "")
    overfitting = [line for line in alarms if "since epoch 11" in line]
    assert len(overfitting) == 1
    assert re.match(r"training\.csv: epoch \d+: .* since epoch 11 \(0\.\d\d\)", overfitting[0])
    assert re.match(r"training\.csv: .* after 60 epochs; why: pipeline diagnose history=", last)


def test_the_command_at_the_end_reads_the_log_as_it_was_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my log.csv"
    path.write_text("epoch,my train,other\n" + "".join(f"{e},{1 / (1 + e)},2\n" for e in range(9)))
    words = (f"history={path}", "train_loss=my train", "num_classes=3")
    assert watch(*words, "idle=0.01", monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out.splitlines()[-1].rpartition("why: ")[2]
    assert shlex.split(told) == ["pipeline", "diagnose", *words]
    monkeypatch.setattr(sys, "argv", shlex.split(told))
    assert cli.main() == 0


def test_with_fail_on_it_ends_at_the_alarm_with_exit_code_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "training.csv"
    with writer(path):
        code = watch(f"history={path}", "fail_on=fits_and_fails", monkeypatch=monkeypatch)
    told = capsys.readouterr()
    assert code == 3
    assert "since epoch 11" in told.out.splitlines()[-1]
    assert told.err.startswith("fail_on=fits_and_fails: training.csv: ")


def test_a_timeout_ends_it_while_nothing_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nothing.csv"
    assert watch(f"history={path}", "timeout=0.1", monkeypatch=monkeypatch) == 1
    assert re.search(r"error: .*nothing\.csv: cannot be read", capsys.readouterr().err)


def test_ctrl_c_gives_the_verdict_so_far_and_exit_code_130(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    with writer(path, 40) as process:
        process.wait()
    line = [sys.executable, "-m", "pipeline", "watch", f"history={path}", *FAST]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        # A shell that starts tests in its background lets them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as watching:  # fmt: skip
        assert watching.stdout and watching.stderr
        first = watching.stdout.readline()  # the log has been read
        watching.send_signal(signal.SIGINT)
        rest, error = watching.stdout.read(), watching.stderr.read()
    assert "since epoch 11" in first
    assert "after 40 epochs" in rest
    assert watching.returncode == 130, error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "history: missing"),
        (["history=-"], "standard input cannot be watched"),
        (["history=x.csv", "idle=0"], "idle=0: must be a number above 0"),
        (["history=x.csv", "fail_on=nix"], "fail_on=nix: is no fault"),
    ],
)
def test_bad_options_are_one_message(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert watch(*words, monkeypatch=monkeypatch) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told


def test_the_writer_of_these_tests_writes_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with writer(path, 14) as process:
        process.wait()
    assert int(np.loadtxt(path, delimiter=",", skiprows=1)[:, 2].argmin()) == 10


@pytest.mark.parametrize("end", ["idle=0.05", "timeout=0.05"])
def test_the_end_does_not_wait_for_the_next_look(tmp_path: Path, end: str) -> None:
    path = tmp_path / "training.csv"
    path.write_text("epoch,loss\n" + "".join(f"{e},{1 / (1 + e)}\n" for e in range(9)))
    # So many seconds are more than the system can sleep.
    assert cli.call("watch", [f"history={path}", "every=1e10", end]) == 0
