"""Probes of real trainings: planted faults, a healthy twin, and models that cannot be probed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.errors import DataError, ModelError, TrainingError
from pipeline.runs.probing import prepare_probes, run_probes
from small_mnist import write_prepared
from trained_models import ON_ONE_THREAD, TINY, train_model

SOUND = (
    *ON_ONE_THREAD,
    "tracking=none",
    "model.width=64",
    "model.dropout=0.3",
    "data.batch_size=64",
    "optimizer.learning_rate=2e-3",
    "trainer.max_epochs=12",
)
# What differs from the sound run, and the verdict that the probes have to speak for.
PLANTED = [
    pytest.param(("optimizer.learning_rate=0.02",), "learning_rate_too_high", id="rate_too_high"),
    pytest.param(("optimizer.learning_rate=1e-5",), "learning_rate_too_low", id="rate_too_low"),
    pytest.param(("model.width=4", "model.dropout=0.0"), "underfitting", id="four_units"),
    pytest.param(("trainer.max_epochs=1",), "undertrained", id="one_epoch"),
    pytest.param(("init=zeros",), "not_learning", id="zero_weights"),
]


def probed_verdict(project: Path) -> tuple[str, set[str]]:
    """The settled verdict of ``mlp``, and the verdicts that the probes speak for."""
    diagnosis = run_probes(prepare_probes("mlp", root=project), report=print).diagnosis
    assert diagnosis.probes is not None
    supported = {e.verdict for e in diagnosis.probes.evidence if e.points == "for"}
    return diagnosis.verdict, supported


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "verdict"), PLANTED)
def test_the_probes_speak_for_the_planted_fault(
    overrides: Sequence[str], verdict: str, project: Path
) -> None:
    train_model(project, *SOUND, *overrides)
    settled, supported = probed_verdict(project)
    assert settled == verdict
    assert verdict in supported


@pytest.mark.slow
def test_the_probes_speak_for_no_fault_in_the_sound_twin(project: Path) -> None:
    train_model(project, *SOUND)
    assert probed_verdict(project)[1] == set()


# --- models that cannot be probed ----------------------------------------------------------------


def test_a_run_without_a_history_is_refused(project: Path) -> None:
    with pytest.raises(DataError, match=r"history\.csv: missing"):
        prepare_probes("nothing", root=project)


def test_a_model_without_weights_is_refused(tiny_model: Path) -> None:
    (tiny_model / "models/mlp/model.safetensors").unlink()
    with pytest.raises(ModelError, match="pipeline train name=mlp"):
        prepare_probes("mlp", root=tiny_model)


def test_a_model_without_its_data_is_refused(tiny_model: Path) -> None:
    (tiny_model / "data/processed/mnist/val.safetensors").unlink()
    with pytest.raises(DataError, match="pipeline preprocess data=mnist"):
        prepare_probes("mlp", root=tiny_model)


def test_a_model_of_other_data_is_refused(tiny_model: Path) -> None:
    write_prepared(tiny_model / "data/processed/mnist", num_train=1000)
    with pytest.raises(DataError, match="is not the data that models/mlp was trained on"):
        prepare_probes("mlp", root=tiny_model)


def test_weights_of_the_run_before_one_that_diverged_are_refused(tiny_model: Path) -> None:
    diverging = ("tracking=none", "optimizer=sgd", "optimizer.learning_rate=1e30")
    with pytest.raises(TrainingError, match="must stay finite"):
        train_model(tiny_model, *TINY, *diverging)
    with pytest.raises(ModelError, match=r"of an earlier run\. The last run diverged"):
        prepare_probes("mlp", root=tiny_model)


# --- the plan ------------------------------------------------------------------------------------


def test_the_wider_twin_has_twice_the_units(tiny_model: Path) -> None:
    setup = prepare_probes("mlp", root=tiny_model)
    assert setup.wide is not None
    hidden, output = (setup.wide.state_dict()[f"{n}.weight"] for n in ("hidden.linear1", "output"))
    assert (hidden.shape, output.shape) == ((16, 784), (10, 16))


def test_the_summary_names_the_number_and_the_length_of_the_short_runs(tiny_model: Path) -> None:
    setup = prepare_probes("mlp", root=tiny_model, epochs=2)
    shown = 14 * 2 * 400 + 6 * 300 * 64  # forks, and one batch by two optimizers
    assert setup.summary.startswith(
        f"mlp: 20 short runs at most, forks of 2 epochs of 400 images; {shown:,} images in all"
    )
