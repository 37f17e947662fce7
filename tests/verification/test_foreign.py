"""The verification of somebody else's script: decisions, numbers, kills and mistakes."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from foreign_script import ASKED, COMMAND, PRINTS, REMEDIES, starts, verified, write_script
from pipeline import cli
from pipeline.errors import CommandError, ConfigError, PipelineError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no project of ours."""
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path)
    return tmp_path


# --- decisions ------------------------------------------------------------------------------------


def test_a_true_improvement_is_accepted_with_both_controls(folder: Path, capsys: Capture) -> None:
    code, proof = verified("n_jobs=2", capsys=capsys)
    assert (code, proof["decision"], proof["accepted"]) == (0, "accept", "dropout=0.3")
    arm = proof["arms"][0]
    assert arm["improvement"]["low"] < 1 - math.exp(-0.3) < arm["improvement"]["high"]
    assert proof["goal"] == "min" and proof["random"] is not None
    low, high = proof["reseed"]["low"], proof["reseed"]["high"]
    assert low < 0 < high, "other seeds alone prove nothing"
    words = "train: dropout=0.3 lowers val_loss by "
    assert proof["sentence"].startswith(words) and "a reseed changes it by" in proof["sentence"]
    assert len(starts(folder)) == proof["runs"] == len(set(starts(folder)))


def test_the_fixed_design_is_a_paired_t_test_of_logarithms(folder: Path, capsys: Capture) -> None:
    code, proof = verified("stop=fixed", "seeds=4", "n_jobs=2", capsys=capsys)
    base, values = proof["as_it_is"], proof["arms"][0]["values"]
    expected = stats.ttest_rel(np.log(base), np.log(values))
    assert proof["arms"][0]["p_value"] == pytest.approx(expected.pvalue)
    assert (code, proof["seeds"], proof["runs"]) == (0, 4, 4 * 4 + 2 - 1)


def test_a_remedy_that_changes_only_noise_is_not_accepted(folder: Path, capsys: Capture) -> None:
    write_script(folder, gain=0.0)
    code, proof = verified("seeds=6", "n_jobs=2", capsys=capsys)
    assert proof["decision"] in ("reject", "undecided") and proof["accepted"] is None
    assert code == {"reject": 4, "undecided": 5}[proof["decision"]]
    assert proof["reseed"] is None and "controls were not run" in proof["notes"][0]


def test_a_harmful_remedy_is_rejected(folder: Path, capsys: Capture) -> None:
    write_script(folder, gain=-2.0)
    code, proof = verified(capsys=capsys)
    assert (code, proof["decision"], proof["arms"][0]["verdict"]) == (4, "reject", "harmful")
    assert "val_loss is worse beyond noise with dropout=0.3" in proof["sentence"]


def test_more_shall_be_better_for_an_accuracy(folder: Path, capsys: Capture) -> None:
    write_script(folder, ending='print("accuracy:", 0.9 / loss)')
    assert cli.call("verify", [COMMAND, "metric=accuracy", REMEDIES, "n_jobs=2"]) == 0
    shown = capsys.readouterr().out
    assert "goal=max (by its name" in shown and "raises accuracy by" in shown
    assert cli.call("verify", [COMMAND, "metric=accuracy", REMEDIES, "goal=min"]) == 4


def test_a_metric_below_zero_is_judged_by_differences(folder: Path, capsys: Capture) -> None:
    write_script(folder, ending='print(f"val_loss={loss - 5}")')
    with pytest.raises(ConfigError, match=r"val_loss was -4\..*scale=difference"):
        verified(capsys=capsys)
    before = starts(folder)
    code, proof = verified("scale=difference", capsys=capsys)
    assert (code, starts(folder)[: len(before)]) == (0, before)
    assert len(set(starts(folder))) == len(starts(folder)), "no run is repeated"
    base, values = np.array(proof["as_it_is"]), np.array(proof["arms"][0]["values"])
    assert proof["arms"][0]["improvement"]["value"] == pytest.approx((base - values).mean())


# --- where the number stands ----------------------------------------------------------------------

JSON = (
    'import json; json.dump({"best": {"val_loss": loss}}, '
    'open(values["--out"] + "/metrics.json", "w"))'
)
CSV = 'open(values["--out"] + "/log.csv", "w").write(f"epoch,val_loss\\n1,9.0\\n2,{loss}\\n3,\\n")'
MLFLOW = """
import mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
with mlflow.start_run():
    mlflow.log_metric("val_loss", 9.0, step=0)
    mlflow.log_metric("val_loss", loss, step=1)
"""


@pytest.mark.parametrize("ending", [JSON, CSV], ids=["json", "csv"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
def test_the_number_is_read_from_a_file(
    ending: str, named: bool, folder: Path, capsys: Capture
) -> None:
    printed = verified("name=printed", capsys=capsys)[1]
    write_script(folder, ending=ending)
    file = "metrics.json" if ending == JSON else "log.csv"
    asked = [f"{COMMAND} --out {{out}}", "metric=val_loss", REMEDIES, "n_jobs=2", "output=json"]
    code = cli.call("verify", [*asked, *([f"metric_file={{out}}/{file}"] if named else [])])
    assert code == 0
    assert printed["accepted"] in capsys.readouterr().out


@pytest.mark.slow
def test_the_number_is_read_from_a_store_of_mlflow(folder: Path, capsys: Capture) -> None:
    write_script(folder, ending=MLFLOW)
    _, proof = verified("stop=fixed", "seeds=3", "metric_file=mlflow.db", capsys=capsys)
    assert max(proof["as_it_is"]) < 2, "the last step of each run's own record"
    assert len(set(proof["as_it_is"])) == 3


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


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"{COMMAND} --l2 {{l2}}",), r"\{l2\} has no value"),
        (("cmd=python train.py {dropout}",), r"has no \{seed\}"),
        (("cmd=python train.py 'x {seed}",), "cannot be split into words"),
        (("remedies={drop:[0,1]}",), r"\{dropout\} has no value"),
        (("remedies={dropout:[0.0,0.3],lr:[1,2]}",), "lr has no placeholder"),
        (("remedies={dropout:[0.0]}",), "needs two values or more"),
        (("remedies={dropout:[0.1,0.1]}",), "the same value twice"),
        (("remedies=[dropout]",), "cannot be read"),
        (("budget=30",), "budget: has no effect with cmd="),
        (("metric_file=log.csv", "n_jobs=2"), "would write the same file"),
        (("metric_file={out}/log.csv",), r"the command has no \{out\}"),
        (("metric_file={where}/log.csv",), r"\{where\} is no placeholder"),
    ],
)
def test_a_wrong_command_line_is_refused_before_a_run(
    words: tuple[str, ...], message: str, folder: Path
) -> None:
    named = {word.partition("=")[0] for word in words}
    rest = [word for word in ASKED if word.partition("=")[0] not in named]
    with pytest.raises(ConfigError, match=message):
        cli.call("verify", [*rest, *words])
    assert starts(folder) == []


def test_a_metric_is_needed_and_belongs_to_a_command() -> None:
    with pytest.raises(ConfigError, match="metric: missing"):
        cli.call("verify", [COMMAND, REMEDIES])


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("sys.exit('no such data')", r"failed with exit code 1.*\n.*no such data"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("print('done')", r"there is no val_loss=<number> in its output.*\n.*done"),
        ("print('val_loss=nan')", "val_loss is nan in its output"),
        ("print('val_loss=0.5')", r"val_loss is 0.5 for seeds 0 to 2.*ignores \{seed\}"),
        ("print('val_loss', 2.0 ** noise)", "dropout=0.3: gives the numbers of the unchanged"),
    ],
    ids=["fails", "killed", "no_number", "nan", "ignores_its_seed", "ignores_a_value"],
)
def test_a_command_that_cannot_be_judged_is_explained(
    ending: str, message: str, folder: Path
) -> None:
    write_script(folder, ending=ending)
    with pytest.raises(CommandError, match=message):
        cli.call("verify", [*ASKED])
    write_script(folder)
    assert cli.call("verify", [*ASKED]) == 0, "the script is mended, so its runs are new"


def test_a_run_that_takes_too_long_is_ended(folder: Path) -> None:
    write_script(folder, ending="import time; time.sleep(600)")
    with pytest.raises(CommandError, match=r"seed 0: it ran longer than timeout=0\.5 seconds"):
        cli.call("verify", [*ASKED, "timeout=0.5"])


def test_a_command_that_does_not_exist_is_named() -> None:
    with pytest.raises(CommandError, match="/no/such cannot be started"):
        cli.call("verify", ["cmd=/no/such {dropout} {seed}", *ASKED[1:]])


def test_a_file_of_an_earlier_run_does_not_count(folder: Path) -> None:
    (folder / "metrics.json").write_text('{"val_loss": 0.1}')
    with pytest.raises(CommandError, match=r"it left metrics\.json as it was before"):
        cli.call("verify", [*ASKED, "metric_file=metrics.json"])


def test_no_shell_reads_a_value(folder: Path) -> None:
    remedies = "remedies={dropout:[0.0,$(touch hacked); touch hacked]}"
    with pytest.raises(PipelineError, match="could not convert string to float"):
        cli.call("verify", [COMMAND, "metric=val_loss", remedies])
    assert not (folder / "hacked").exists()


# --- which runs count again -----------------------------------------------------------------------


def test_only_a_changed_script_or_settings_file_makes_runs_anew(
    folder: Path, capsys: Capture
) -> None:
    for name in ("main.yaml", "mine.yaml"):
        (folder / name).write_text("lr: 1")
    asked = [f"{COMMAND} --config {{config}} --log log.csv", "metric=val_loss", "n_jobs=2"]
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
