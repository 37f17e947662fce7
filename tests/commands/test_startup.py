"""What a command imports: each loads only the libraries that its work needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.tracking import MODEL_TAG, Tracker
from sealed_records import fields_of, write_fields
from trained_models import TINY

HEAVY = {
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "pytorch_lightning",
    "scipy",
    "sklearn",
    "torch",
    "torchmetrics",
    "torchvision",
}
RUN_AND_NAME_THE_LIBRARIES = """
import sys
from pipeline.cli import main
code = main()
print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def tracked(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tiny model ``mlp``, whose run is in a store, and a second model."""
    root = tmp_path_factory.mktemp("tracked")
    shutil.copytree(trained_once, root, dirs_exist_ok=True)
    for file in (root / "models" / "mlp" / "model.json", root / "results" / "mlp" / "config.json"):
        values = fields_of(file)
        tracking = values.get("settings", values)["tracking"]
        tracking["enabled"] = True
        write_fields(file, values)
    digest = fields_of(root / "models" / "mlp" / "model.json")["weights_sha256"]
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=root)
    tracker.start("mlp", tags={MODEL_TAG: digest}).finish()
    shutil.copytree(root / "results" / "mlp", root / "results" / "again")
    return root


def run(root: Path, *words: str, code: int = 0) -> set[str]:
    """Run a command in a process of its own; return the heavy libraries that it has loaded."""
    line = [sys.executable, "-c", RUN_AND_NAME_THE_LIBRARIES, *words]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return HEAVY & set(done.stderr.splitlines()[-1].split())


def tags(root: Path) -> dict[str, str]:
    tracker = Tracker("sqlite:///mlflow.db", experiment="mnist", root=root)
    (experiment,) = tracker.client.search_experiments(filter_string="name = 'mnist'")
    (found,) = tracker.client.search_runs([experiment.experiment_id])
    return dict(found.data.tags)


def test_evaluate_needs_torch_and_report_and_diagnose_do_not(tracked: Path) -> None:
    assert run(tracked, "evaluate", "name=mlp") == {"torch", "matplotlib", "scipy"}
    assert run(tracked, "diagnose", "name=mlp") == {"matplotlib"}
    assert run(tracked, "report", "models=[mlp]") == {"matplotlib"}
    assert "diagnosis.verdict" in tags(tracked), "they have written into the tracked run"
    assert list((tracked / "mlruns").rglob("artifacts/report.html"))
    assert list((tracked / "mlruns").rglob("artifacts/metrics.json"))
    assert not list((tracked / "journal").glob("*/lines.jsonl"))
    # The same pictures once more: nothing has to be drawn.
    assert run(tracked, "evaluate", "name=mlp") == {"torch", "scipy"}
    assert run(tracked, "diagnose", "name=mlp") == set()
    assert run(tracked, "report", "models=[mlp]") == set()


def test_compare_draws_without_torch(tracked: Path) -> None:
    assert run(tracked, "compare", "names=[mlp,again]") <= {"matplotlib", "optuna"}


def test_a_report_on_a_sweep_loads_neither_torch_nor_mlflow(tracked: Path) -> None:
    loaded = run(tracked, "sweep-report", "study=unknown", code=1)  # it looks for the study last
    assert "optuna" in loaded
    assert loaded & {"torch", "pytorch_lightning", "torchvision", "mlflow"} == set()


def test_predict_needs_torch_alone_beside_the_picture(tracked: Path) -> None:
    from PIL import Image

    Image.new("L", (28, 28)).save(tracked / "digit.png")
    assert run(tracked, "predict", "digit.png", "name=mlp") == {"torch", "matplotlib"}


def test_a_training_loads_no_library_that_it_does_not_use(project: Path) -> None:
    loaded = run(project, "train", *TINY, "trainer.max_epochs=1", "tracking=none")
    assert loaded == {"torch", "pytorch_lightning", "torchmetrics", "matplotlib"}


def test_a_second_preprocess_does_nothing_until_an_image_changes(project: Path) -> None:
    from PIL import Image

    line = ("preprocess", "data=image_folder", "data.path=photos", "data.name=own")
    for shade in range(8):
        for label, size in (("dark", (8, 8)), ("light", (9, 9))):
            file = project / "photos" / label / f"{shade}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", size, 30 * shade).save(file)
    assert run(project, *line) == {"sklearn", "scipy", "pandas"}
    card = (project / "data/processed/own/card.json").read_bytes()
    assert run(project, *line) == set()
    assert (project / "data/processed/own/card.json").read_bytes() == card
    Image.new("L", (9, 9), 255).save(project / "photos/light/0.png")
    assert "sklearn" in run(project, *line)
    assert (project / "data/processed/own/card.json").read_bytes() != card
