"""Somebody else's script that cannot be judged, and wrong command lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foreign_script import (
    ASKED,
    COMMAND,
    PRINTS,
    REMEDIES,
    starts,
    write_script,
)
from pipeline import cli
from pipeline.errors import CommandError, ConfigError, PipelineError
from pipeline.verification.foreign.options import name_of

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((f"{COMMAND} --l2 {{l2}}",), r"\{l2\} has no value"),
        (("cmd=python train.py {dropout}",), r"has no \{seed\}"),
        (("cmd=python train.py 'x {seed}",), "cannot be split into words"),
        ((f"{COMMAND} --x ?token=hush",), "a password outside of an address"),
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


def test_a_file_that_a_killed_run_has_left_does_not_count(folder: Path, capsys: Capture) -> None:
    """The same command runs into the same folder again; its number stands on its output."""
    command = f"{COMMAND} --out {{out}}"
    writes = """open(values["--out"] + "/log.json", "w").write('{"val_loss": 99}')"""
    killed = f"import os\nif os.path.exists('kill'): {writes}; os.abort()"
    write_script(folder, ending=f"{killed}\n{PRINTS}")
    (folder / "kill").touch()
    with pytest.raises(CommandError, match="was ended by SIGABRT"):
        cli.call("verify", [command, *ASKED[1:]])
    (folder / "kill").unlink()
    capsys.readouterr()
    assert cli.call("verify", [command, *ASKED[1:], "output=json"]) == 0
    assert max(json.loads(capsys.readouterr().out)["as_it_is"]) < 2


def test_a_number_that_explodes_is_judged_all_the_same(folder: Path, capsys: Capture) -> None:
    write_script(folder, ending='print("val_loss", loss * (1e250 if dropout and seed == 0 else 1))')
    assert cli.call("verify", [*ASKED, "stop=fixed", "seeds=3"]) == 4
    assert "-∞" in capsys.readouterr().out


def test_modules_of_one_package_have_names_of_their_own() -> None:
    assert name_of(("python", "-m", "mine.train", "--seed", "{seed}")) == "mine_train"
    assert name_of(("python", "-m", "mine.tune")) == "mine_tune"
    assert name_of(("python", "src/train.py")) == "train"


def test_no_shell_reads_a_value(folder: Path) -> None:
    remedies = "remedies={dropout:[0.0,$(touch hacked); touch hacked]}"
    with pytest.raises(PipelineError, match="could not convert string to float"):
        cli.call("verify", [COMMAND, "metric=val_loss", remedies])
    assert not (folder / "hacked").exists()
