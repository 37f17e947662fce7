"""Kills of a verification of somebody else's script, and which runs count again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foreign_script import (
    ASKED,
    COMMAND,
    PRINTS,
    starts,
    verified,
    write_script,
)
from pipeline import cli

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("folder")


# --- kills ----------------------------------------------------------------------------------------

SLOW = f"import time; time.sleep(0.3); {PRINTS}"


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    log = (folder / "log.txt").open("ab")
    command = [sys.executable, "-m", "pipeline", "verify", *ASKED, *words]
    return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def wait_for(runs: int, folder: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and len(starts(folder)) < runs:
        time.sleep(0.02)
    assert process.poll() is None, (folder / "log.txt").read_text()


def test_a_kill_loses_no_finished_run(folder: Path, capsys: Capture) -> None:
    whole = verified("name=whole", capsys=capsys)[1]
    (folder / "starts.txt").unlink()
    write_script(folder, ending=SLOW)
    process = start(folder)
    wait_for(4, folder, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    journal = folder / "results/verify_train/runs.jsonl"
    finished = len(journal.read_text().splitlines())
    assert 1 <= finished < whole["runs"]
    with journal.open("a") as file:
        file.write('{"key": "cut in the mi')  # as a kill within a line leaves it

    code, proof = verified(capsys=capsys)
    assert code == 0
    assert {k: proof[k] for k in ("arms", "reseed", "random", "runs")} == {
        k: whole[k] for k in ("arms", "reseed", "random", "runs")
    }
    assert len(starts(folder)) <= proof["runs"] + 1, "only the run that was killed is repeated"
    assert len(journal.read_text().splitlines()) == proof["runs"]
    count = len(starts(folder))
    assert verified(capsys=capsys)[1] == proof and len(starts(folder)) == count


@pytest.mark.usefixtures("signals_of_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_whole_group_of_a_command(number: int, folder: Path) -> None:
    child = "import time; print(1, flush=True); time.sleep(600)"
    ending = (
        f"import subprocess; p = subprocess.Popen([sys.executable, '-c', {child!r}]); "
        "open('child.txt', 'w').write(str(p.pid)); p.wait()"
    )
    write_script(folder, ending=ending)
    process = start(folder)
    while process.poll() is None and not (folder / "child.txt").exists():
        time.sleep(0.05)
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number, (folder / "log.txt").read_text()
    assert time.monotonic() - begun < 30
    assert "goes on after the last finished run" in (folder / "log.txt").read_text()
    assert not _lives(int((folder / "child.txt").read_text()))


def _lives(process: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def test_a_command_that_outlived_a_kill_is_ended(folder: Path, capsys: Capture) -> None:
    write_script(folder, ending="import time; time.sleep(600)")
    process = start(folder)
    wait_for(1, folder, process)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (mark,) = (folder / "results/verify_train/logs").glob("*.running")
    orphan = int(mark.read_text().split()[0])
    assert _lives(orphan)
    write_script(folder)
    assert verified(capsys=capsys)[0] == 0
    assert not _lives(orphan)


# --- which runs count again -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--config {config}", "--config={config}"])
def test_only_a_changed_script_or_settings_file_makes_runs_anew(
    option: str, folder: Path, capsys: Capture
) -> None:
    for name in ("main.yaml", "mine.yaml"):
        (folder / name).write_text("lr: 1")
    asked = [f"{COMMAND} {option} --log log.csv", "metric=val_loss", "n_jobs=2"]
    asked += ["remedies={config:[main.yaml,mine.yaml],dropout:[0.0,0.3]}", "stop=fixed", "seeds=3"]
    mine = "loss += ('mine' in values['--config']) * random.Random(seed).random() / 1e3"
    write_script(folder, ending=f"{mine}\nopen('log.csv', 'a').write('1')\n{PRINTS}")
    cli.call("verify", asked)
    first = len(starts(folder))
    cli.call("verify", asked)
    assert len(starts(folder)) == first, "a file that the command writes changes nothing"
    (folder / "mine.yaml").write_text("lr: 2")
    cli.call("verify", asked)
    assert first < len(starts(folder)) < 2 * first, "only the runs with this file"


def test_a_password_reaches_the_command_and_no_file(folder: Path) -> None:
    ending = f"open('address.txt', 'w').write(values['--db'])\n{PRINTS}"
    write_script(folder, ending=ending)
    address = "postgresql://me:hush@host/runs_{seed}"
    cli.call("verify", [f"{COMMAND} --db {address}", *ASKED[1:], "stop=fixed", "seeds=3"])
    assert (folder / "address.txt").read_text().startswith("postgresql://me:hush@host/runs_")
    written = [p for p in (folder / "results").rglob("*") if p.is_file()]
    assert written and not [p for p in written if b"hush" in p.read_bytes()]
