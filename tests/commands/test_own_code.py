"""A package outside of the repository, from ``train`` to ``report``: docs/own_code.md by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest

from document import ROOT, shell_commands
from outside_package import ALLOW, PAGE, make_package, run, start, weights
from pipeline.config import compose
from pipeline.config.overrides import overrides_of
from pipeline.data.store import load_prepared
from pipeline.evaluation.tables import read_history_csv
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.runs.files import RunFiles
from pipeline.runs.history import read_run

LIT = ("model=lit", ALLOW)


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project beside the package of the page."""
    make_package(project, monkeypatch)
    return project


def train(patch: pytest.MonkeyPatch, *words: str) -> None:
    assert run(["train", *words], patch) == 0


def test_every_snippet_of_the_page_runs(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "docs" / "pictures" / "three.png", own / "photo.png")
    for program, *words in shell_commands(PAGE.read_text()):
        assert program == "pipeline"
        assert run(words, monkeypatch) == 0, f"{words}\n{capsys.readouterr().err}"
    metrics = RunFiles(own, "mine").read_history()[-1].metrics
    assert {"val/confidence", "weights", "val/loss"} <= metrics.keys()
    assert 0.1 <= metrics["val/confidence"] <= 1
    assert "goes on after epoch 2" in capsys.readouterr().out
    assert (own / "results" / "report.html").is_file()


def test_the_loss_of_an_own_module_is_the_cross_entropy_of_its_forward(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(monkeypatch, "name=lit", *LIT)
    row = RunFiles(own, "lit").read_history()[-1].metrics
    model, data = load_model(own / "models" / "lit"), load_prepared(own / "data/processed/mnist")
    logits = predict_logits(model.network, data.val.images, mean=model.mean, std=model.std)
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    entropy = -logs[np.arange(len(logs)), data.val.labels].mean()
    assert row["val/loss"] == pytest.approx(entropy, rel=1e-4)
    assert row["val_loss"] == pytest.approx(entropy, rel=1e-4)  # the module has logged the same
    assert row["train_loss"] == pytest.approx(row["train/objective"], rel=1e-4)
    assert row["learning_rate"] == pytest.approx(0.001 * 0.9**2)


def resumed_from(own: Path, name: str) -> int:
    text = (own / "results" / name / "times.json").read_text()
    return int(json.loads(text)["resumed_from_epoch"])


def test_a_killed_own_module_goes_on_with_equal_weights(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", *LIT, "trainer.max_epochs=4", "callbacks=ema"]
    killed = start([*words, "name=killed"])
    assert killed.stdout is not None
    for line in killed.stdout:
        if "epoch 2/4" in line:
            killed.kill()
    killed.wait()
    assert not Path("models/killed").exists()
    assert start([*words, "name=killed"]).wait() == 0
    assert start([*words, "name=whole"]).wait() == 0
    assert resumed_from(own, "killed") in (1, 2)
    assert weights("killed") == weights("whole")


def test_the_record_says_that_an_own_module_trains_itself(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, model in (("lit", LIT), ("mynet", ("model=mynet", ALLOW))):
        train(monkeypatch, f"name={name}", *model)
    assert read_run("lit", root=own).history.context.trains_itself
    assert not read_run("mynet", root=own).history.context.trains_itself


def test_probes_of_an_own_module_are_refused(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(monkeypatch, "name=lit", *LIT)
    assert run(["diagnose", "name=lit", "probe=true"], monkeypatch) == 1
    assert "trains itself" in capsys.readouterr().err


def test_the_recorded_settings_compose_again(own: Path) -> None:
    wanted = compose(["experiment=mine", "name=mine"], root=own).values
    found = compose(overrides_of(wanted, root=own), root=own).values
    as_names = {str(i): node for i, node in enumerate(wanted["callbacks"])}
    assert found == {**wanted, "callbacks": as_names}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["model=mlp"], id="constant"),
        pytest.param(["schedule=plateau", "schedule.patience=0"], id="plateau"),
        pytest.param(["experiment=mine"], id="own_parts"),
        pytest.param([*LIT, "trainer.keep=best"], id="own_module_best"),
    ],
)
def test_more_epochs_give_the_weights_of_one_training(
    own: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    for name, epochs in (("short", 2), ("short", 4), ("whole", 4)):
        train(monkeypatch, *words, f"name={name}", f"trainer.max_epochs={epochs}")
    assert weights("short") == weights("whole")
    rows = [RunFiles(own, name).read_history() for name in ("short", "whole")]
    assert [r.metrics["val/loss"] for r in rows[0]] == [r.metrics["val/loss"] for r in rows[1]]
    signals = [Path("results", n, "signals.safetensors").read_bytes() for n in ("short", "whole")]
    assert signals[0] == signals[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["schedule=cosine"], "schedule=cosine has other learning rates", id="cosine"),
        pytest.param(["callbacks=swa"], "callbacks.swa begins its mean", id="swa"),
        pytest.param(["trainer.extra={max_steps: 3}"], "max_steps ends it", id="max_steps"),
    ],
)
def test_a_run_that_cannot_go_on_exactly_is_refused(
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    reason: str,
) -> None:
    train(monkeypatch, "name=x", *words)
    before = weights("x")
    assert run(["train", "name=x", *words, "trainer.max_epochs=4"], monkeypatch) == 2
    told = capsys.readouterr().err
    assert reason in told and "overwrite=true" in told
    assert weights("x") == before


def test_a_run_whose_checkpoint_is_gone_is_refused(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(monkeypatch, "name=x")
    shutil.rmtree(own / "checkpoints" / "finished")
    assert run(["train", "name=x", "trainer.max_epochs=4"], monkeypatch) == 2
    assert "its last checkpoint is not in" in capsys.readouterr().err


def test_a_run_whose_checkpoint_has_a_damaged_note_is_refused(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(monkeypatch, "name=x")
    note = own / "checkpoints" / "finished" / "x" / "note.json"
    note.write_text(note.read_text().replace('"epochs": 2', '"epochs": 1'))
    assert run(["train", "name=x", "trainer.max_epochs=4"], monkeypatch) == 2
    told = capsys.readouterr().err
    assert "its last checkpoint is not in" in told and "overwrite=true" in told


def test_a_longer_run_is_a_new_run_in_mlflow_with_all_epochs(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracked = ("name=x", "tracking=mlflow", "tracking.model=false")
    train(monkeypatch, *tracked)
    train(monkeypatch, *tracked, "trainer.max_epochs=3")
    client = mlflow.MlflowClient(f"sqlite:///{own / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mnist")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    longer, short = sorted(runs, key=lambda r: r.info.start_time, reverse=True)
    assert longer.data.params["trainer.max_epochs"] == "3"
    assert longer.data.tags["pipeline.continues"] == short.data.tags["pipeline.key"]
    for metric in ("val/loss", "train/gradient_norm"):
        name = next(n for n in longer.data.metrics if n.startswith(metric))
        steps = {p.step for p in client.get_metric_history(longer.info.run_id, name)}
        assert {1, 2, 3} <= steps
    assert len(client.get_metric_history(short.info.run_id, "val/loss")) == 2


RAISES = """
import pytorch_lightning as lightning

class Raises(lightning.Callback):
    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch == 1:
            raise ValueError("the table is full")
"""


PLAIN = """
import pytorch_lightning as lightning
import torch
from torch import nn

class Plain(lightning.LightningModule):
    def __init__(self, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, num_classes))

    def forward(self, images):
        logits = self.layers(images)
        return 2 * logits if float(logits.sum()) > 0 else logits  # no export follows this

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


def add_model(root: Path, name: str, code: str, kind: str) -> list[str]:
    """Write a module of the package and its option; return the words that choose it."""
    (root / "outside" / "mystuff" / f"{name}.py").write_text(code)
    option = f"_target_: mystuff.{name}.{kind}\nname: {name}\n"
    (root / "conf" / "model" / f"{name}.yaml").write_text(option)
    return [f"model={name}", ALLOW]


def test_a_module_that_neither_validates_nor_can_be_exported_is_trained_and_recorded(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = add_model(own, "plain", PLAIN, "Plain")
    train(monkeypatch, "name=plain", *words, "tracking=mlflow", "trainer.early_stopping_patience=1")
    rows = RunFiles(own, "plain").read_history()
    assert rows[-1].metrics["val/loss"] > 0 and 0.1 < rows[-1].metrics["val/accuracy"] <= 1
    assert "the record of the run did not take its model" in capsys.readouterr().err
    client = mlflow.MlflowClient(f"sqlite:///{own / 'mlflow.db'}")
    (tracked,) = client.search_runs(["1"])
    assert tracked.info.status == "FINISHED"
    assert tracked.data.metrics["val/loss"] == rows[-1].metrics["val/loss"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("class Net(", "cannot be imported: SyntaxError: '(' was never", id="syntax"),
        pytest.param("from math import none", "ImportError: cannot import name", id="import"),
        pytest.param("{}['key']", "cannot be imported: KeyError: 'key'", id="at_import"),
        pytest.param(
            "from torch import nn\nclass Net(nn.Module):\n  def __init__(self): {}['key']",
            "cannot be built: KeyError: 'key'",
            id="at_building",
        ),
    ],
)
def test_a_broken_module_is_told_in_one_line(
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
    said: str,
) -> None:
    words = add_model(own, "broken", code, "Net")
    assert run(["train", "name=x", *words], monkeypatch) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and len(told.splitlines()) == 1


def test_a_callback_that_raises_loses_nothing(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = own / "outside" / "mystuff" / "bad.py"
    bad.write_text(RAISES)
    words = ["train", "name=x", ALLOW, "+callbacks.bad={_target_: mystuff.bad.Raises}"]
    assert run(words, monkeypatch) == 1
    told = capsys.readouterr().err
    assert "mystuff.bad.Raises.on_train_epoch_end (bad.py:7): ValueError: the table is full" in told
    assert "Traceback" not in told and len(told.splitlines()) == 1

    bad.write_text(RAISES.replace("raise ValueError", "print"))
    monkeypatch.delitem(__import__("sys").modules, "mystuff.bad")
    assert run(words, monkeypatch) == 0
    assert resumed_from(own, "x") == 1
    train(monkeypatch, "name=plain")
    assert weights("x") == weights("plain")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ["model=mynet", "+model.num_classes=7", ALLOW],
            "gives [2, 7] for images [2, 1, 28, 28], and must give logits [2, 10]",
            id="wrong_shape",
        ),
        pytest.param(
            ["+metrics.f2={_target_: torchmetrics.F2Score}"], "has no F2Score", id="no_metric"
        ),
        pytest.param(
            ["+metrics.f1={_target_: torch.nn.Linear}"],
            "must be a subclass of Metric",
            id="no_kind",
        ),
        pytest.param(["model=mynet"], "allow_targets=[mystuff]", id="not_permitted"),
        pytest.param(["callbacks=lr_monitor"], "Add logger=csv", id="monitor_without_logger"),
        pytest.param(["+callbacks=ema"], "Leave the + out: callbacks=<option>", id="plus"),
        pytest.param(
            ["trainer.accumulate_grad_batches=2"], "trainer.extra={acc", id="trainer_argument"
        ),
        pytest.param(
            ["+callbacks.x={_target_: pytorch_lightning.callbacks.ModelCheckpoint}"],
            "trainer.keep=best",
            id="checkpoint",
        ),
        pytest.param(
            ["+logger.x={_target_: pytorch_lightning.loggers.CSVLogger, save_dir: /tmp}"],
            "outputs/lightning/<name>",
            id="foreign_place",
        ),
        pytest.param(["trainer.extra={max_epochs: 3}"], "Set trainer.max_epochs", id="ours"),
        pytest.param(["trainer.extra={max_step: 3}"], "Did you mean max_steps?", id="mistyped"),
        pytest.param(["trainer.extra={max_steps: -1}"], "whole number", id="no_step"),
        pytest.param(["trainer.extra={profiler: quick}"], "profiler", id="wrong_value"),
    ],
)
def test_a_mistake_stops_the_command_before_it_writes(
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert run(["train", "name=x", *words], monkeypatch) == 2
    told = capsys.readouterr().err
    assert message in told and "Traceback" not in told
    assert not (own / "models").exists() and not (own / "checkpoints").exists()


def test_the_prepared_set_holds_the_pixels_of_the_data_module(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["preprocess", "data=stripes", ALLOW], monkeypatch) == 0
    from mystuff.data import Stripes  # type: ignore[import-not-found]

    found = load_prepared(own / "data" / "processed" / "stripes")
    images, labels = Stripes().part(1).tensors
    np.testing.assert_array_equal(found.val.images, (images.numpy() * 255).round())
    np.testing.assert_array_equal(found.val.labels, labels.numpy())
    card = json.loads((own / "data" / "processed" / "stripes" / "card.json").read_text())
    assert "across" in json.dumps(card)


def test_a_data_module_is_read_again_since_its_files_may_have_changed(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = own / "outside" / "mystuff" / "data.py"
    drawn, read = "torch.arange(self.num) % 3", "torch.from_numpy(numpy.load('labels.npy'))"
    code.write_text(code.read_text().replace("import torch\n", "import numpy, torch\n"))
    code.write_text(code.read_text().replace(drawn, read))
    for offset in (0, 1):
        labels = (np.arange(300) + offset) % 3
        np.save(own / "labels.npy", labels)
        assert run(["preprocess", "data=stripes", ALLOW], monkeypatch) == 0
        found = load_prepared(own / "data" / "processed" / "stripes")
        np.testing.assert_array_equal(found.val.labels, labels)


@pytest.mark.parametrize("missing", ["absent.data", "absent.inner.data", "mystuff.absent.data"])
def test_a_data_module_of_a_package_that_is_missing_is_told_in_one_line(
    missing: str, own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data._target_={missing}.Stripes", f"allow_targets=[{missing.split('.')[0]}]"]
    assert run(["preprocess", "data=stripes", *words], monkeypatch) == 2
    assert "there is no module" in capsys.readouterr().err


def test_a_csv_logger_gets_the_numbers_of_the_history(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(monkeypatch, "name=x", "logger=csv", "callbacks=lr_monitor")
    rows = read_history_csv(own / "results" / "x" / "history.csv")
    table = (own / "outputs/lightning/x/version_0/metrics.csv").read_text().splitlines()
    column = table[0].split(",").index("val/loss")
    logged = [float(line.split(",")[column]) for line in table[1:] if line.split(",")[column]]
    assert logged == [row.metrics["val/loss"] for row in rows]
