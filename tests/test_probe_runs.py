"""Probes of real trainings: planted faults with a healthy twin, and what a probe leaves on the disk."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import cli
from pipeline.config import compose
from pipeline.data.label_noise import shuffled_labels
from pipeline.data.split import stratified_fraction
from pipeline.data.store import load_prepared
from pipeline.diagnosis import diagnose
from pipeline.errors import ConfigError, DataError, ModelError, TrainingError
from pipeline.stages import train as training
from pipeline.stages.diagnose import parse
from pipeline.stages.probe import probe_model
from pipeline.training import forks
from planted_history import history
from small_mnist import write_prepared

SMALL = ("tracking=none", "trainer.accelerator=cpu", "trainer.precision=32", "trainer.num_threads=1")
SOUND = (
    *SMALL,
    "model.width=64",
    "model.dropout=0.3",
    "data.batch_size=64",
    "optimizer.learning_rate=2e-3",
    "trainer.max_epochs=12",
)


def trained(root: Path, *overrides: str) -> Path:
    settings, values = compose(overrides, root=root)
    training.train(settings, values, root=root, output=root)
    return root / "models" / settings.name


def sides(settled: Any) -> dict[str, str]:
    return {e.verdict: e.points for e in settled.evidence}


# --- planted faults -----------------------------------------------------------------------------------

# id: (what differs from the sound run, the verdict that the probes have to speak for)
PLANTED: dict[str, tuple[Sequence[str], str | None]] = {
    "sound": ((), None),
    "rate_too_high": (("optimizer.learning_rate=0.02",), "learning_rate_too_high"),
    "rate_too_low": (("optimizer.learning_rate=1e-5",), "learning_rate_too_low"),
    "four_units": (("model.width=4", "model.dropout=0.0"), "underfitting"),
    "one_epoch": (("trainer.max_epochs=1",), "undertrained"),
    "zero_weights": (("init=zeros",), "not_learning"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "verdict"), PLANTED.values(), ids=PLANTED.keys())
def test_the_probes_speak_for_what_was_planted_and_for_nothing_in_its_sound_twin(
    overrides: Sequence[str], verdict: str | None, project: Path
) -> None:
    trained(project, *SOUND, *overrides)
    settled = probe_model("mlp", root=project)
    found = {v for v, side in sides(settled).items() if side == "for"}
    if verdict is None:
        assert not found
    else:
        assert verdict in found and settled.after.verdict == verdict


# --- what is left on the disk ---------------------------------------------------------------------------

TINY = (
    *SMALL[1:],
    "signals.probe_size=100",
    "trainer.probe_size=100",
    "model.width=8",
    "model.depth=1",
    "data.fraction=0.2",
    "data.label_noise=0.1",
    "trainer.max_epochs=4",
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch for 30 steps instead of 300."""
    monkeypatch.setattr(forks, "BATCH_STEPS", 30)


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_a_probe_leaves_its_evidence_everywhere_and_the_model_as_it_was(
    project: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    model = trained(project, *TINY)
    before = files(model)
    # Whoever reads the test part fails now.
    (project / "data/processed/mnist/test.safetensors").unlink()
    monkeypatch.setattr(sys, "argv", ["pipeline", "diagnose", "name=mlp", "probe=true"])
    capsys.readouterr()
    assert cli.main() == 0
    told = capsys.readouterr().out
    assert told.index("20 short runs at most") < told.index("twice the units") < told.index("Probes")
    assert files(model) == before
    results = project / "results" / "mlp"
    written = json.loads((results / "probes.json").read_text())
    assert set(written["forks"]) == {
        *(f"learning_rate*{f}" for f in ("0.1", "0.3", "1", "3", "10")),
        *("new_weights_at_learning_rate*0.1", "twice_the_units"),
    }
    assert all(len(fork["val_loss"]) == forks.REPEATS for fork in written["forks"].values())
    assert written["weights_sha256"] == json.loads((model / "model.json").read_text())["weights_sha256"]
    assert {e["points"] for e in written["evidence"]} <= {"for", "against"}
    diagnosis = json.loads((results / "diagnosis.json").read_text())
    assert diagnosis["verdict"] == diagnosis["probes"]["verdict"] == written["verdict"]
    assert (results / "probes.png").read_bytes().startswith(b"\x89PNG")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {"probes.json", "probes.png", "diagnosis.json"} <= {
        a.path for a in client.list_artifacts(run.info.run_id)
    }
    assert run.data.tags["diagnosis.verdict"] == written["verdict"]
    first = (results / "probes.json").read_bytes()
    capsys.readouterr()
    probe_model("mlp", root=project, output="json")
    assert (results / "probes.json").read_bytes() == first, "the same seed, the same probes"
    assert json.loads(capsys.readouterr().out)["probes"]["evidence"], "nothing else on the standard output"


def test_an_interrupted_probe_writes_nothing(
    project: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(project, *TINY, "tracking=none")
    before = files(model), files(project / "results" / "mlp")
    fits = [0]
    true_fit = forks.fit

    def interrupted(*given: Any, **named: Any) -> Any:
        fits[0] += 1
        if fits[0] == 3:
            raise KeyboardInterrupt
        return true_fit(*given, **named)

    monkeypatch.setattr(forks, "fit", interrupted)
    monkeypatch.setattr(sys, "argv", ["pipeline", "diagnose", "name=mlp", "probe=true"])
    assert cli.main() == 130
    assert "starts anew" in capsys.readouterr().err
    assert (files(model), files(project / "results" / "mlp")) == before


def test_a_fork_sees_the_images_and_labels_that_the_run_saw(project: Path) -> None:
    """Not others of the same fraction, and not the true labels of those that were shuffled."""
    settings, _ = compose([*TINY, "seed=3"], root=project)
    prepared = load_prepared(project / "data/processed/mnist")
    part = forks.training_part(settings, prepared)
    indices = stratified_fraction(prepared.train.labels, fraction=0.2, seed=3)
    noisy = shuffled_labels(prepared.train.labels, among=indices, share=0.1, seed=0)
    assert len(part) == 400
    np.testing.assert_array_equal(part.images, prepared.train.images[indices])
    np.testing.assert_array_equal(part.labels, noisy[indices])
    assert (part.labels != prepared.train.labels[indices]).any()


@pytest.mark.parametrize(
    ("num_train", "epochs_done", "asked", "epochs", "images"),
    [
        pytest.param(55_000, 10, None, 1, 40_000, id="most_of_an_epoch_of_mnist"),
        pytest.param(1_001, 10, None, 2, 1_001, id="a_quarter_of_the_run"),
        pytest.param(1_001, 1, None, 1, 1_001, id="one_epoch_at_least"),
        pytest.param(10_000, 400, None, 4, 10_000, id="not_more_than_the_cap"),
        pytest.param(1_000_000, 10, None, 1, 40_000, id="a_part_of_a_long_epoch"),
        pytest.param(1_000_000, 10, 2, 2, 1_000_000, id="what_a_person_asks_for"),
    ],
)
def test_the_length_of_a_fork_is_bounded_and_told(
    num_train: int, epochs_done: int, asked: int | None, epochs: int, images: int
) -> None:
    found = forks.plan(
        num_train=num_train, epochs_done=epochs_done, images_per_s=1e4, epochs=asked, widened=True
    )
    assert (found.epochs, found.num_images, found.num_runs) == (epochs, images, 20)
    assert found.shown_images == 14 * epochs * images + 6 * 300 * 64


@pytest.mark.parametrize(
    ("schedule", "last_rate", "wanted", "peak"),
    [
        pytest.param("constant", 0.001, "constant", 0.001, id="constant"),
        pytest.param("plateau", 0.0001, "constant", 0.0001, id="goes_on_at_the_last_rate"),
        pytest.param("cosine", 1e-9, "cosine", 0.001, id="once_more_from_the_top"),
        pytest.param("onecycle", 1e-9, "cosine", 0.001, id="once_more_as_half_a_cosine"),
    ],
)
def test_a_fork_goes_on_with_the_rate_or_the_shape_that_the_run_had(
    schedule: str, last_rate: float, wanted: str, peak: float, project: Path
) -> None:
    settings, _ = compose([*SMALL, f"schedule={schedule}", "trainer.early_stopping_patience=2"], root=project)
    like: Any = forks.Trained(None, None, settings, None, None, None, last_rate, True)  # type: ignore[arg-type]
    found = forks.fork_settings(like, factor=3.0, epochs=2, seed=5)
    assert found.schedule.name == wanted and found.optimizer.learning_rate == pytest.approx(3 * peak)
    assert found.trainer.early_stopping_patience is None and found.trainer.max_epochs == 2
    assert found.model == settings.model and found.penalty == settings.penalty and found.seed == 5


# --- bad input --------------------------------------------------------------------------------------------


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
        parse(line.split())
    assert [w for w in words if w not in str(error.value)] == []


@pytest.mark.parametrize(("verdict", "offered"), [("undetermined", True), ("healthy", False)])
def test_the_plain_diagnosis_of_what_is_undetermined_offers_the_probes(
    verdict: str,
    offered: bool,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained(project, *TINY, "tracking=none")
    found = replace(diagnose(history()), verdict=verdict)
    monkeypatch.setattr("pipeline.stages.diagnose.diagnose", lambda _: found)
    monkeypatch.setattr(sys, "argv", ["pipeline", "diagnose", "name=mlp", "probe=false"])
    assert cli.main() == 0
    assert ("pipeline diagnose name=mlp probe=true" in capsys.readouterr().out) == offered
    assert not (project / "results" / "mlp" / "probes.json").exists()


def test_what_is_missing_or_does_not_fit_is_told_with_the_way_out(project: Path) -> None:
    with pytest.raises(DataError, match=r"history\.csv does not exist"):
        probe_model("nothing", root=project)
    model = trained(project, *TINY, "tracking=none")
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pipeline train name=mlp"):
        probe_model("mlp", root=project)
    (model / "model.safetensors").write_bytes(weights)
    data = project / "data" / "processed" / "mnist"
    images = (data / "val.safetensors").read_bytes()
    (data / "val.safetensors").unlink()
    with pytest.raises(DataError, match="pipeline preprocess data=mnist"):
        probe_model("mlp", root=project)
    (data / "val.safetensors").write_bytes(images)
    write_prepared(data, num_train=1000)
    with pytest.raises(DataError, match="is not what models/mlp was trained on"):
        probe_model("mlp", root=project)
    assert not (project / "results" / "mlp" / "probes.json").exists()


def test_weights_of_the_run_before_one_that_diverged_are_not_probed(project: Path) -> None:
    trained(project, *TINY, "tracking=none")
    with pytest.raises(TrainingError, match="must stay finite"):
        trained(project, *TINY, "tracking=none", "optimizer=sgd", "optimizer.learning_rate=1e30")
    with pytest.raises(ModelError, match="of an earlier run; the last one diverged"):
        probe_model("mlp", root=project)
