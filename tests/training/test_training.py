from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from pipeline.commands import train_job as stage
from pipeline.config import compose
from pipeline.data.batches import EpochOrder, standardisation
from pipeline.data.store import load_card, load_prepared
from pipeline.errors import ModelError, TrainingError
from pipeline.models.build import Architecture, build_network
from pipeline.models.inference import predict_logits
from pipeline.models.saved import load_model
from pipeline.records import EpochRecord, ImageSet
from pipeline.runs.network import untrained_network
from pipeline.training import fit
from pipeline.training.checkpoints import LAST, ResumeFolder

SMALL = (
    "tracking=none",
    "trainer.accelerator=cpu",
    "trainer.precision=32",
    "trainer.num_threads=1",
)
QUICK = (*SMALL, "model.width=16", "data.fraction=0.2", "trainer.max_epochs=4")
CNN = (
    "model=cnn",
    "model.width=4",
    "model.dense=16",
    "model.normalization=batch",
    "augment=affine",
)


def train(project: Path, *overrides: str) -> dict[str, torch.Tensor]:
    config = compose(overrides, root=project)
    stage.train(config, root=project, output=project)
    return load_file(project / "models" / config.settings.name / "model.safetensors")


def history(project: Path, name: str = "mlp") -> list[dict[str, str]]:
    """All columns that do not measure time."""
    with (project / "results" / name / "history.csv").open() as file:
        return [
            {k: v for k, v in row.items() if not k.startswith("time/")}
            for row in csv.DictReader(file)
        ]


def summary(project: Path, name: str = "mlp") -> dict[str, object]:
    text = (project / "models" / name / "model.json").read_text()
    return dict(json.loads(text)["summary"])


def resumed_from(project: Path, name: str = "mlp") -> int:
    text = (project / "results" / name / "times.json").read_text()
    return int(json.loads(text)["resumed_from_epoch"])


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def checkpoints(project: Path) -> list[Path]:
    return list((project / "checkpoints").glob(f"*/{LAST}"))


class Interrupted(BaseException):
    """As a kill: not an `Exception`, so that nobody takes it for a failure."""


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epoch: int) -> Callable[[], None]:
    shown = stage.epoch_line

    def stopping(row: EpochRecord, *, max_epochs: int) -> str:
        if row.epoch + 1 == epoch:
            raise Interrupted
        return shown(row, max_epochs=max_epochs)

    monkeypatch.setattr(stage, "epoch_line", stopping)
    return lambda: monkeypatch.setattr(stage, "epoch_line", shown)


# --- the same again -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(project: Path) -> None:
    first = train(project, *QUICK)
    assert same(train(project, *QUICK), first)
    assert not same(train(project, *QUICK, "seed=1"), first)
    assert not checkpoints(project)


RESUMED: dict[str, Sequence[str]] = {
    "dropout": ("model.dropout=0.5",),
    "plateau": ("schedule=plateau", "schedule.patience=0", "optimizer.learning_rate=0.05"),
    "onecycle": ("schedule=onecycle",),
    "keep best": ("trainer.keep=best", "optimizer.learning_rate=0.05"),
    "early stopping": (
        "trainer.early_stopping_patience=1",
        "optimizer.learning_rate=0.02",
        "trainer.max_epochs=8",
    ),
    "batch norm and augmentation": CNN,
    "accumulated batches": ("trainer.extra={accumulate_grad_batches: 3}",),
    "moving average": ("callbacks=ema", "callbacks.ema.decay=0.9"),
    "balanced sampling": ("data.sampling=balanced",),
    "class weights": ("loss.class_weights=balanced",),
    "residual": (
        *("model=resnet", "model.width=4", "model.depth=2", "model.blocks_per_stage=1"),
        "model.block_dropout=0.2",
    ),
}


@pytest.mark.parametrize("overrides", RESUMED.values(), ids=RESUMED.keys())
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    project: Path, monkeypatch: pytest.MonkeyPatch, overrides: Sequence[str]
) -> None:
    name = next((o[6:] for o in overrides if o.startswith("model=")), "mlp")
    whole = train(project, *QUICK, *overrides)
    rows, kept = history(project, name), summary(project, name)["kept_epoch"]
    mend = interrupt_after(monkeypatch, 3)
    with pytest.raises(Interrupted):
        train(project, *QUICK, *overrides)
    mend()
    (checkpoint,) = checkpoints(project)
    torch.load(
        checkpoint, weights_only=True
    )  # raises where it holds more than tensors and plain values
    assert same(train(project, *QUICK, *overrides), whole)
    assert resumed_from(project, name) == 2
    assert summary(project, name)["kept_epoch"] == kept
    assert history(project, name) == rows
    assert not checkpoints(project)


ENDED: dict[str, Sequence[str]] = {
    "early stopping": RESUMED["early stopping"],
    "moving average": RESUMED["moving average"],
    "mean of the last weights": ("callbacks=swa", "callbacks.swa.start=0.5"),
    "steps": ("trainer.extra={max_steps: 5}",),
}


@pytest.mark.parametrize("overrides", ENDED.values(), ids=ENDED.keys())
def test_a_run_that_is_killed_behind_its_last_epoch_is_not_trained_further(
    project: Path, monkeypatch: pytest.MonkeyPatch, overrides: Sequence[str]
) -> None:
    """Its last checkpoint is written, its result is not: the next command has to know its end."""
    whole = train(project, *QUICK, *overrides)
    rows = history(project)
    ended = fit._result

    def killed(*_: object) -> object:
        raise Interrupted

    monkeypatch.setattr(fit, "_result", killed)
    with pytest.raises(Interrupted):
        train(project, *QUICK, *overrides)
    monkeypatch.setattr(fit, "_result", ended)
    resumed = train(project, *QUICK, *overrides)
    assert resumed_from(project) == len(rows)
    assert history(project) == rows
    assert same(resumed, whole)


@pytest.mark.slow
def test_a_killed_process_goes_on_where_it_was(project: Path) -> None:
    overrides = [
        *SMALL,
        "model.width=64",
        "trainer.max_epochs=12",
        "augment=shift",
        "data.batch_size=16",
    ]
    command = [sys.executable, "-m", "pipeline", "train", *overrides]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch  3/"):  # told before its checkpoint: that of epoch 2 is whole
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert checkpoints(project)
    resumed = train(project, *overrides)
    assert resumed_from(project) >= 2
    rows = history(project)
    assert same(train(project, *overrides), resumed)
    assert resumed_from(project) == 0
    assert history(project) == rows


def test_two_runs_at_once_have_a_folder_each(tmp_path: Path) -> None:
    first, second = ResumeFolder(tmp_path, "key"), ResumeFolder(tmp_path, "key")
    assert first.folder != second.folder
    first.write_note({"run_id": "a"})
    first.release()
    again = ResumeFolder(tmp_path, "key")
    assert again.folder == first.folder and again.read_note() == {"run_id": "a"}
    again.finish()
    assert not again.folder.exists()
    second.release()


# --- against loops written by hand ----------------------------------------------------------------


def by_hand(
    project: Path, overrides: Sequence[str], *, batch_size: int, epochs: int
) -> dict[str, torch.Tensor]:
    """Plain gradient descent in a few lines of torch."""
    settings, _ = compose(overrides, root=project)
    prepared = load_prepared(project / "data" / "processed" / "mnist")
    architecture = Architecture(
        settings.model, settings.activation, settings.init, prepared.card.image_shape, 10
    )
    network = build_network(architecture, seed=settings.seed).train()
    pixels = torch.tensor(prepared.train.images).float() / 255.0
    images = (pixels - prepared.card.mean[0]) / prepared.card.std[0]
    labels = torch.tensor(prepared.train.labels)
    order = EpochOrder(
        torch.arange(len(labels)), batch_size=batch_size, seed=settings.seed, shuffle=True
    )
    for epoch in range(epochs):
        order.set_epoch(epoch)
        for index in order:
            network.zero_grad()
            functional.cross_entropy(network(images[index]), labels[index]).backward()
            with torch.no_grad():
                for weight in network.parameters():
                    assert weight.grad is not None
                    weight -= settings.optimizer.learning_rate * weight.grad
    return network.state_dict()


PLAIN = (*SMALL, "model.width=16", "model.dropout=0.0")


@pytest.mark.parametrize(
    ("overrides", "batch_size", "epochs", "steps"),
    [
        pytest.param(
            ("experiment=gradient_descent", "trainer.max_epochs=3"),
            2000,
            3,
            3,
            id="the whole training part",
        ),
        pytest.param(
            ("optimizer=sgd", "optimizer.learning_rate=0.1", "trainer.max_epochs=1"),
            128,
            1,
            16,
            id="batches",
        ),
    ],
)
def test_gradient_descent_equals_a_loop_written_by_hand(
    project: Path, overrides: Sequence[str], batch_size: int, epochs: int, steps: int
) -> None:
    found = train(project, *PLAIN, *overrides, "name=plain")
    expected = by_hand(project, [*PLAIN, *overrides], batch_size=batch_size, epochs=epochs)
    for name, weight in expected.items():
        # Float32 rounding of the standardisation, which the loop does in another order.
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-4)
    assert [row["step"] for row in history(project, "plain")][-1] == str(steps)


# --- what it learns, what it reports --------------------------------------------------------------


def test_one_batch_is_learned_by_heart(project: Path) -> None:
    train(project, *SMALL, "debug=overfit_batch", "trainer.max_epochs=40", "model.width=64")
    assert float(history(project, "debug")[-1]["train/accuracy"]) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [("model=mlp", "model.width=128"), ("model=cnn", "model.width=8")],
    ids=["mlp", "cnn"],
)
def test_digits_are_learned(project: Path, overrides: Sequence[str]) -> None:
    train(project, *SMALL, *overrides, "data.batch_size=32", "trainer.max_epochs=6", "name=learned")
    assert float(history(project, "learned")[-1]["val/accuracy"]) >= 0.90


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_gradients_are_clipped_in_bfloat16_too(project: Path, optimizer: str) -> None:
    # Lightning's mixed precision does not clip the gradients of a fused optimizer.
    overrides = (
        *QUICK,
        *("model=cnn", "model.width=4", "model.dense=16", f"optimizer={optimizer}"),
        *("optimizer.learning_rate=0.1", "trainer.max_epochs=1", "trainer.precision=bf16"),
    )
    settings = compose(overrides, root=project).settings
    card = load_card(project / "data" / "processed" / "mnist")
    initial = untrained_network(settings, card, root=project).state_dict()

    free = train(project, *overrides)
    clipped = train(project, *overrides, "trainer.gradient_clip_norm=1e-12")
    # Adam's step is at most rate * 1e-12 / eps = 1e-5, that of momentum 1e-12.
    bound = 1e-5 * int(history(project, "cnn")[-1]["step"])
    assert distance(clipped, initial) <= bound < distance(free, initial)


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return float(torch.cat([(a[name] - b[name]).flatten() for name in a]).norm())


def test_a_divergence_names_its_way_out(project: Path) -> None:
    with pytest.raises(TrainingError, match=r"optimizer.learning_rate \(now 1e\+06\)"):
        train(project, *QUICK, "optimizer=sgd", "optimizer.learning_rate=1e6")
    assert not checkpoints(project), "the same command would fail again"


def test_early_stopping_stops_and_the_best_epoch_is_kept(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("trainer.max_epochs=30", "trainer.early_stopping_patience=2", "trainer.keep=best")
    train(project, *QUICK, *overrides, "optimizer.learning_rate=0.02")
    losses = [float(row["val/loss"]) for row in history(project)]
    assert len(losses) < 30 and summary(project)["stopped_early"] is True
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 2
    assert summary(project)["kept_epoch"] == best + 1
    loss, _ = measured(project, "val")
    assert loss == pytest.approx(losses[best], abs=1e-5)
    told = capsys.readouterr().out
    assert f"stopped early, after epoch {len(losses)} of 30\n" in told
    assert f"with the weights of epoch {best + 1}, in " in told


def measured(project: Path, split: str) -> tuple[float, float]:
    """Loss and accuracy of the saved model, by a road of its own."""
    model = load_model(project / "models" / "mlp")
    images: ImageSet = getattr(load_prepared(project / "data" / "processed" / "mnist"), split)
    logits = predict_logits(model.network, images.images, mean=model.mean, std=model.std).astype(
        np.float64
    )
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -logs[np.arange(len(images)), images.labels].mean()
    return float(loss), float((logits.argmax(1) == images.labels).mean())


@pytest.mark.parametrize("split", ["train", "val"])
def test_losses_are_measured_without_dropout_and_augmentation(project: Path, split: str) -> None:
    # The sample of 5,000 holds all 2,000 training images.
    train(
        project,
        *SMALL,
        "model.width=16",
        "model.dropout=0.5",
        "augment=affine",
        "trainer.max_epochs=2",
    )
    row = history(project)[-1]
    loss, accuracy = measured(project, split)
    assert loss == pytest.approx(float(row[f"{split}/loss"]), abs=1e-5)
    assert accuracy == pytest.approx(float(row[f"{split}/accuracy"]), abs=1e-9)
    assert float(row["train/objective"]) > float(row["train/loss"]), "dropout makes the task harder"


# --- the saved model ------------------------------------------------------------------------------


@pytest.fixture
def saved(project: Path) -> Path:
    train(project, *QUICK, "trainer.max_epochs=1")
    return project / "models" / "mlp"


def test_a_saved_model_is_the_trained_one_in_evaluation_mode(saved: Path) -> None:
    network = load_model(saved).network
    assert same(dict(network.state_dict()), load_file(saved / "model.safetensors"))
    assert not network.training


def test_predictions_are_the_logits_of_standardised_images(saved: Path, project: Path) -> None:
    model = load_model(saved)
    images = load_prepared(project / "data" / "processed" / "mnist").val.images[:5]
    shift, scale = standardisation(model.mean, model.std)
    with torch.no_grad():
        expected = model.network(torch.addcmul(shift, torch.tensor(images).float(), scale)).numpy()
    logits = predict_logits(model.network, images, mean=model.mean, std=model.std)
    np.testing.assert_array_equal(logits, expected)
    none = predict_logits(model.network, images[:0], mean=model.mean, std=model.std)
    assert none.shape == (0, 10)


def test_changed_weights_are_refused_by_their_hash(saved: Path) -> None:
    blob = bytearray((saved / "model.safetensors").read_bytes())
    blob[-1] ^= 1
    (saved / "model.safetensors").write_bytes(blob)
    with pytest.raises(ModelError, match="SHA-256"):
        load_model(saved)


def test_missing_weights_name_the_way_out(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pipeline train name=mlp"):
        load_model(saved)
