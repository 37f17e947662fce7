"""The signals of `pipeline train`: beside the history, in MLflow, and of a run that diverged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.commands import train_job as stage
from pipeline.config import compose
from pipeline.errors import ConfigError, TrainingError
from pipeline.evaluation.signal_file import read_signals
from pipeline.evaluation.tables import read_history_csv
from pipeline.runs.files import RunFiles
from trained_models import ON_ONE_THREAD

SMALL = ("tracking=none", *ON_ONE_THREAD)
QUICK = ("data.fraction=0.2", "trainer.max_epochs=2", "signals.sample_size=200", "model.width=4")


def train(project: Path, *overrides: str) -> dict[str, np.ndarray]:
    """Train an MLP; return the arrays of its signals."""
    stage.train(compose(overrides, root=project), root=project, output=project)
    return dict(read_signals(project / "results" / "mlp" / "signals.safetensors").arrays)


def test_a_sample_of_all_images_has_the_loss_and_accuracy_of_the_history(project: Path) -> None:
    arrays = train(project, *SMALL, "model.width=16", "augment=affine", "trainer.max_epochs=2")
    for row in read_history_csv(project / "results" / "mlp" / "history.csv"):
        moment = row.epoch + 1
        for split in ("train", "val"):
            loss = arrays[f"{split}/loss_per_example"][moment].mean()
            accuracy = arrays[f"{split}/correct"][moment].mean()
            assert loss == pytest.approx(row.metrics[f"{split}/loss"], rel=1e-5)
            assert accuracy == pytest.approx(row.metrics[f"{split}/accuracy"], abs=1e-6)
        assert arrays["learning_rate"][moment] == pytest.approx(row.metrics["learning_rate"])
        assert arrays["steps"][moment] == row.step


def test_without_signals_the_file_of_an_earlier_run_does_not_stay(project: Path) -> None:
    overrides = [*SMALL, "data.fraction=0.2", "trainer.max_epochs=2", "model.width=4"]
    assert len(train(project, *overrides)["epochs"]) == 3
    assert len(train(project, *overrides, "signals=none")["epochs"]) == 0


def test_the_sample_size_of_signals_that_are_off_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"signals.sample_size was set, but has no effect"):
        compose(["signals=none", "signals.sample_size=100"], root=project)


@pytest.mark.parametrize("key", ["signals.probe_size", "trainer.probe_size"])
def test_the_old_name_of_the_sample_size_leads_to_the_new_one(key: str, project: Path) -> None:
    new = key.replace("probe", "sample")
    with pytest.raises(ConfigError, match=rf"{key}: unknown key.*Did you mean {new}\?"):
        compose([f"{key}=100"], root=project)


def test_every_moment_reaches_mlflow(project: Path) -> None:
    from mlflow import MlflowClient

    arrays = train(project, *ON_ONE_THREAD, *QUICK)
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    path = client.download_artifacts(run.info.run_id, "signals.csv", str(project))
    table = pd.read_csv(path, float_precision="round_trip")
    assert table["epoch"].tolist() == [0, *range(1, len(table))]
    norms = arrays["layers/gradient_norm"][:, 0].tolist()
    assert table["gradient_norm/hidden.linear1"].tolist() == norms
    curve = client.get_metric_history(run.info.run_id, "train/gradient_norm")
    means = arrays["gradient_norm/mean"].tolist()[1:]
    assert {metric.step: metric.value for metric in curve} == dict(enumerate(means, start=1))
    assert not [name for name in run.data.metrics if name.startswith("signals/")]


def test_a_run_that_diverges_leaves_history_and_signals_for_its_diagnosis(project: Path) -> None:
    steep = ["model.width=8", "optimizer=sgd", "optimizer.learning_rate=1e30"]
    config = compose([*SMALL, *QUICK, *steep], root=project)
    with pytest.raises(TrainingError, match="must stay finite"):
        stage.train(config, root=project, output=project)
    results = project / "results" / "mlp"
    rows = read_history_csv(results / "history.csv")
    arrays = read_signals(results / "signals.safetensors").arrays
    assert list(arrays["epochs"]) == [-1, *(row.epoch for row in rows)]
    assert not np.isfinite(arrays["train/loss_per_example"][-1]).all()
    assert not (project / "models" / "mlp").exists()
    assert RunFiles(project, "mlp").read_config() == config.values


def noisy(project: Path, share: float) -> tuple[dict[str, np.ndarray], float]:
    """Signals and last validation accuracy of a run with this share of shuffled labels."""
    overrides = ["model.width=64", "trainer.max_epochs=8", f"data.label_noise={share}"]
    arrays = train(project, *SMALL, *overrides)
    return arrays, float(arrays["val/correct"][-1].mean())


def test_training_sees_shuffled_labels_and_validation_does_not(project: Path) -> None:
    clean, accuracy = noisy(project, 0.0)
    shuffled, of_shuffled = noisy(project, 1.0)
    assert accuracy > 0.85 and of_shuffled < 0.3
    assert not np.array_equal(clean["train/labels"], shuffled["train/labels"])
    np.testing.assert_array_equal(clean["val/labels"], shuffled["val/labels"])
