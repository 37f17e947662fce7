"""``pipeline diagnose history=``: standard input, named columns, the line of what was read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.errors import ConfigError, DataError

ROWS = [f"{e},{0.5 * 0.5**e:.5f},{0.3 + 0.02 * e:.5f}" for e in range(12)]
LOG = "epoch,mine,theirs\n" + "\n".join(ROWS) + "\n"
KNOWN = LOG.replace("mine,theirs", "loss,val_loss")
NAMED = ["train_loss=mine", "val_loss=theirs"]


def call(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", "diagnose", *words]
    return subprocess.run(
        command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=300
    )


def test_standard_input_is_read_from_any_folder_of_a_project(project: Path) -> None:
    (project / "notes").mkdir()
    for folder in (project, project / "notes"):
        done = call(folder, "history=-", stdin=KNOWN)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("read: loss → training loss, val_loss → validation loss; 12")
        assert "standard input: overfitting" in done.stdout


def test_the_exit_code_tells_a_bad_log_from_a_bad_option(project: Path) -> None:
    done = call(project, "history=-", stdin="nothing here\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no curves" in done.stderr and "Traceback" not in done.stderr
    assert call(project, "history=-", "train_los=x", stdin=KNOWN).returncode == 2


def test_named_columns_are_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "log.csv").write_text(LOG)
    with pytest.raises(DataError, match="no known curve among epoch, mine, theirs"):
        cli.call("diagnose", [f"history={project / 'log.csv'}"])
    assert cli.call("diagnose", [f"history={project / 'log.csv'}", *NAMED]) == 0
    told = capsys.readouterr().out
    assert told.startswith("read: mine → training loss, theirs → validation loss; 12 epochs\n")
    assert "overfitting" in told


def test_a_named_column_wins_over_a_known_name(project: Path) -> None:
    path = project / "log.csv"
    path.write_text("epoch,loss,val_loss,val_other\n0,1.0,0.9,0.7\n1,0.6,0.8,0.6\n")
    from pipeline.diagnosis.readers import read_log

    reading = read_log(path, named={"val/loss": "val_other"})
    assert reading.history.curves["val/loss"].tolist() == [0.7, 0.6]
    assert list(reading.others) == ["val_loss"]


def test_with_json_the_line_of_what_was_read_goes_to_the_error_stream(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "log.csv").write_text(LOG)
    cli.call("diagnose", [f"history={project / 'log.csv'}", *NAMED, "output=json"])
    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"] == "overfitting"
    assert told.err.startswith("read: mine → training loss")


def test_a_column_without_a_log_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"val_loss=x: names a column of a log.*history=<file>"):
        cli.call("diagnose", ["name=mlp", "val_loss=x"])


def test_a_log_is_read_without_the_heavy_packages(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(KNOWN)
    code = (
        "import sys; from pathlib import Path; from pipeline.diagnosis.readers import read_log;"
        "read_log(Path('log.csv'));"
        "heavy = {'torch', 'mlflow', 'matplotlib', 'pandas', 'lightning', 'tensorboard', 'hydra'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
