from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.data.store import load_prepared
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model

EPOCHS = 2


@pytest.mark.slow
def test_two_processes_train_one_model(project: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "train", "trainer=ddp", "trainer.accelerator=cpu"]
    command += [f"trainer.max_epochs={EPOCHS}", "model.width=32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"epoch +(\d+)/2", done.stdout) == ["1", "2"]
    assert done.stdout.count("training images") == 1

    model = load_model(project / "models" / "mlp")
    val = load_prepared(project / "data" / "processed" / "mnist").val
    logits = predict_logits(model.network, val.images, mean=model.mean, std=model.std)
    with (project / "results" / "mlp" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    # 500 images, each counted once: any image shown twice or left out moves this by 1/500 at least.
    assert float(rows[-1]["val/accuracy"]) == pytest.approx(
        (logits.argmax(1) == val.labels).mean(), abs=1e-9
    )
    assert (
        json.loads((project / "models" / "mlp" / "model.json").read_text())["summary"]["epochs"]
        == EPOCHS
    )

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    for name in ("val/accuracy", "train/objective"):
        logged = client.get_metric_history(run.info.run_id, name)
        assert [m.step for m in logged] == [1, 2]
        assert [m.value for m in logged] == [float(row[name]) for row in rows]
    assert not list((project / "checkpoints").glob("*/last.ckpt"))
