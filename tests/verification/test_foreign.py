"""The verification of somebody else's script: decisions, and where the number stands."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from foreign_script import (
    ASKED,
    COMMAND,
    REMEDIES,
    TRAINING,
    starts,
    verified,
    write_script,
)
from pipeline import cli
from pipeline.errors import ConfigError
from pipeline.verification.foreign.journal import only_one

Capture = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("folder")


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


# --- a real training ------------------------------------------------------------------------------


def test_a_remedy_of_a_real_training_is_proved_and_a_useless_one_is_not(
    folder: Path, capsys: Capture
) -> None:
    (folder / "train.py").write_text(TRAINING)
    command = f"cmd={sys.executable} train.py --l2 {{l2}} --seed {{seed}}"
    asked = [command, "metric=val_loss", "n_jobs=2", "output=json"]
    assert cli.call("verify", [*asked, "remedies={l2:[0.0,0.1]}"]) == 0
    capsys.readouterr()
    assert cli.call("verify", [*asked, "remedies={l2:[0.1,0.1000001]}", "seeds=5"]) != 0
    assert '"accepted": null' in capsys.readouterr().out


def test_a_second_verify_of_the_same_command_waits_for_nobody(folder: Path) -> None:
    with (
        only_one(folder / "results/verify_train"),
        pytest.raises(ConfigError, match="another verify of the same command is at work"),
    ):
        cli.call("verify", [*ASKED])
    assert starts(folder) == []


def test_a_command_needs_none_of_the_heavy_libraries(folder: Path) -> None:
    code = (
        "import sys; from pipeline import cli; cli.main(); "
        "print(sorted({'torch', 'mlflow', 'pytorch_lightning', 'optuna', 'matplotlib'} "
        "& {m.partition('.')[0] for m in sys.modules}))"
    )
    line = [sys.executable, "-c", code, "verify", *ASKED, "stop=fixed", "seeds=3"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.splitlines()[-1] == "[]"
