"""``pipeline diagnose``: the options, and the files of a diagnosis with probes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from command_line import read_line
from pipeline import cli
from pipeline.commands.diagnose_sources import diagnose_with_probes
from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.diagnosis.probes.plan import REPEATS
from pipeline.diagnosis.probes.record import ProbesRecord
from pipeline.errors import ConfigError
from pipeline.files import read_record
from pipeline.training import forks
from planted_history import history
from trained_models import TINY, train_model

TRUE_FIT = forks.fit


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes show one batch for 30 steps instead of 300."""
    monkeypatch.setattr(forks, "BATCH_STEPS", 30)


def command(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline", *line.split()])
    return cli.main()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read_probes(project: Path) -> ProbesRecord:
    return read_record(project / "results/mlp/probes.json", ProbesRecord, way_out="")


# --- with probes ---------------------------------------------------------------------------------


def test_probes_write_a_record_of_every_fork(tiny_model: Path, quick: None) -> None:
    diagnose_with_probes("mlp", root=tiny_model)
    record = read_probes(tiny_model)
    assert set(record.forks) == {
        *(f"learning_rate*{factor}" for factor in ("0.1", "0.3", "1", "3", "10")),
        "new_weights_at_learning_rate*0.1",
        "twice_the_units",
    }
    assert all(len(fork.val_loss) == REPEATS for fork in record.forks.values())
    model = json.loads((tiny_model / "models/mlp/model.json").read_text())
    assert record.weights_sha256 == model["weights_sha256"]


def test_the_diagnosis_on_disk_has_the_verdict_of_the_probes(tiny_model: Path, quick: None) -> None:
    shown = diagnose_with_probes("mlp", root=tiny_model)
    written = read_record(tiny_model / "results/mlp/diagnosis.json", Diagnosis, way_out="")
    assert written.probes is not None and shown.probes is not None
    assert written.verdict == written.probes.verdict == shown.verdict
    assert read_probes(tiny_model).verdict == shown.verdict
    assert (tiny_model / "results/mlp/probes.png").read_bytes().startswith(b"\x89PNG")


def test_probes_leave_the_model_as_it_was_and_the_test_part_unread(
    tiny_model: Path, quick: None
) -> None:
    before = contents(tiny_model / "models" / "mlp")
    (tiny_model / "data/processed/mnist/test.safetensors").unlink()
    diagnose_with_probes("mlp", root=tiny_model)
    assert contents(tiny_model / "models" / "mlp") == before


def test_the_same_seed_gives_the_same_probes(tiny_model: Path, quick: None) -> None:
    diagnose_with_probes("mlp", root=tiny_model)
    first = (tiny_model / "results/mlp/probes.json").read_bytes()
    diagnose_with_probes("mlp", root=tiny_model)
    assert (tiny_model / "results/mlp/probes.json").read_bytes() == first


def test_the_command_announces_the_probes_then_shows_each_then_their_evidence(
    tiny_model: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert command("diagnose name=mlp probe=true", monkeypatch) == 0
    printed = capsys.readouterr().out
    announced, shown = printed.index("20 short runs at most"), printed.index("twice the units")
    assert announced < shown < printed.index("Probes")


def test_json_on_the_standard_output_is_not_mixed_with_progress(
    tiny_model: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    diagnose_with_probes("mlp", root=tiny_model, output="json")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["probes"]["evidence"]
    assert "20 short runs at most" in printed.err


def test_probes_become_artifacts_and_tags_of_the_model_s_run(project: Path, quick: None) -> None:
    train_model(project, *TINY)
    diagnosis = diagnose_with_probes("mlp", root=project)
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"probes.json", "probes.png", "diagnosis.json", "diagnosis.png"} <= artifacts
    assert run.data.tags["diagnosis.verdict"] == diagnosis.verdict


def test_interrupted_probes_write_no_result_and_go_on_after_their_finished_parts(
    tiny_model: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = [tiny_model / "models" / "mlp", tiny_model / "results" / "mlp"]
    before = [contents(folder) for folder in folders]
    _interrupt_the_third_fit(monkeypatch)
    assert command("diagnose name=mlp probe=true", monkeypatch) == 130
    assert "goes on after the last finished part" in capsys.readouterr().err
    assert [contents(folder) for folder in folders] == before

    fits = _counted_fits(monkeypatch)
    assert command("diagnose name=mlp probe=true", monkeypatch) == 0
    assert "goes on after 1 finished parts" in capsys.readouterr().out
    after_a_kill = (tiny_model / "results/mlp/probes.json").read_bytes()
    assert not (tiny_model / "checkpoints/probes/mlp").exists()
    continued = len(fits)
    diagnose_with_probes("mlp", root=tiny_model)
    assert (tiny_model / "results/mlp/probes.json").read_bytes() == after_a_kill
    assert len(fits) - continued == continued + REPEATS, "the first part was trained once"


def test_a_damaged_part_is_trained_again(
    tiny_model: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupt_the_third_fit(monkeypatch)
    assert command("diagnose name=mlp probe=true", monkeypatch) == 130
    (part,) = (tiny_model / "checkpoints/probes/mlp").glob("*/*.part")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    fits = _counted_fits(monkeypatch)
    diagnose_with_probes("mlp", root=tiny_model)
    continued = len(fits)
    diagnose_with_probes("mlp", root=tiny_model)
    assert len(fits) == 2 * continued


def _interrupt_the_third_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, calls = TRUE_FIT, []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*args, **options)

    monkeypatch.setattr(forks, "fit", interrupted)


def _counted_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every short run train again, and count them."""
    counted: list[int] = []

    def count(*args: Any, **options: Any) -> Any:
        counted.append(1)
        return TRUE_FIT(*args, **options)

    monkeypatch.setattr(forks, "fit", count)
    return counted


# --- without probes ------------------------------------------------------------------------------


@pytest.mark.parametrize(("verdict", "offered"), [("undetermined", True), ("healthy", False)])
def test_only_an_undetermined_diagnosis_offers_the_probes(
    verdict: str,
    offered: bool,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    diagnosis = replace(diagnose(history()), verdict=verdict)
    monkeypatch.setattr("pipeline.diagnosis.diagnose", lambda _: diagnosis)
    assert command("diagnose name=mlp probe=false", monkeypatch) == 0
    printed = capsys.readouterr().out
    assert ("pipeline diagnose name=mlp probe=true" in printed) == offered
    assert bool(re.search(r"verdict \(20 at most, about \d+ s\)", printed)) == offered
    assert not (tiny_model / "results" / "mlp" / "probes.json").exists()


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("probe=maybe", ["probe=maybe", "true or false"]),
        ("run=abc probe=true", ["run=abc", "weights", "name=<model>"]),
        ("history=x.csv probe=true", ["history=x.csv", "weights", "probe=true out"]),
        ("name=mlp probe_epochs=2", ["probe_epochs=2", "no effect", "probe=true"]),
        ("name=mlp probe=false probe_epochs=2", ["probe_epochs=2", "no effect"]),
        ("name=mlp probe=true probe_epochs=0", ["probe_epochs=0", "1 up"]),
        ("name=mlp probe=true probe_epochs=two", ["probe_epochs=two", "1 up"]),
    ],
)
def test_options_that_make_no_sense_are_refused(line: str, words: Sequence[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read_line("diagnose", *line.split())
    assert [w for w in words if w not in str(error.value)] == []
