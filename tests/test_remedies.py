"""Remedies are settings that compose, change something, and are not in force already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.config import compose
from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.remedies import USUAL_RATE, remedies
from planted_history import EPOCHS, FAULTS, LAYERS, history

ROOT = Path(__file__).parents[1]
BASES = {
    "mlp": ["optimizer.learning_rate=3e-3"],
    "sigmoid": ["activation=sigmoid", "init=xavier", "model.depth=8", "optimizer=sgd"],
    "cnn": ["model=cnn", "augment=shift", "augment.max_pixels=1", "model.dropout=0.9", "penalty.l2=0.1"],
    "rnn": ["model=rnn", "init=normal", "init.std=0.02", "model.width=48", "data.fraction=0.5"],
    "lstm": ["model=lstm", "init=default", "trainer.keep=best", "loss=label_smoothing"],
    "noisy": ["init=zeros", "data.label_noise=0.3", "optimizer=adamw"],
    "exploding": ["init=he", "init.gain=5.0", "schedule=cosine", "experiment=tutorial_mlp"],
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("verdict", FAULTS)
def test_every_remedy_composes_and_changes_something(verdict: str, base: str) -> None:
    _, values = compose(BASES[base], root=ROOT)
    own = overrides_of(values, root=ROOT)
    findings = diagnose(history(**FAULTS[verdict], settings=values)).findings
    offered = remedies(findings, values)[findings[0].verdict]
    assert offered, "a finding without any way out"
    names = [remedy.name for remedy in offered]
    assert len(set(names)) == len(names) and all(remedy.why for remedy in offered)
    for remedy in offered:
        _, remedied = compose(merge(own, remedy.overrides, root=ROOT), root=ROOT)
        assert remedied != values, remedy


def test_what_is_in_force_is_not_offered_again() -> None:
    _, values = compose(
        ["model.dropout=0.5", "augment=affine", "penalty=elastic_net", "trainer.keep=best"], root=ROOT
    )
    findings = diagnose(history(**FAULTS["overfitting"])).findings
    names = {remedy.name for remedy in remedies(findings, values)["overfitting"]}
    assert not names & {"more_data", "dropout", "augment", "l2", "l1", "early_stopping"}
    assert "smaller_model" in names


def test_a_rate_that_is_too_low_is_raised_by_what_its_steps_lack() -> None:
    """Steps of 3e-5 of the weights, a hundredth of the usual: the rate goes up a hundredfold."""
    _, values = compose(["optimizer.learning_rate=1e-5"], root=ROOT)
    findings = diagnose(history(**FAULTS["learning_rate_too_low"])).findings
    first = remedies(findings, values)["learning_rate_too_low"][0]
    assert first.overrides == ("optimizer.learning_rate=0.001",)


def test_without_settings_nothing_is_offered() -> None:
    assert remedies(diagnose(history(**FAULTS["overfitting"])).findings, {}) == {}


@pytest.mark.parametrize("base", BASES)
def test_overrides_of_a_run_s_values_give_the_run_s_values(base: str) -> None:
    _, values = compose(BASES[base], root=ROOT)
    own = overrides_of(values, root=ROOT)
    _, again = compose(own, root=ROOT)
    assert again == values
    assert not [o for o in own if o.startswith("experiment")]


def test_a_run_on_a_folder_of_images_is_described_by_its_overrides(tmp_path: Path) -> None:
    """``conf/data/image_folder.yaml`` alone is not whole: it lacks the path."""
    base = ["data=image_folder", f"data.path={tmp_path}", "schedule=step", "schedule.every_epochs=2"]
    _, values = compose(base, root=ROOT)
    own = overrides_of(values, root=ROOT)
    assert compose(own, root=ROOT)[1] == values


def test_the_option_that_stands_in_conf_is_replaced_with_its_values() -> None:
    """``init=he`` is the default and so not among the overrides; its gain goes with it all the same."""
    assert merge(["init.gain=5.0"], ["init=zeros"], root=ROOT) == ["init=zeros"]
    assert merge(["init.gain=5.0"], ["init=he"], root=ROOT) == ["init=he", "init.gain=5.0"]


def test_another_option_drops_the_values_of_the_old_one_and_keeps_common_ones() -> None:
    base = ["model=rnn", "model.nonlinearity=relu", "model.width=48", "init=normal", "init.std=0.02"]
    found = merge(base, ["model=lstm", "init=default"], root=ROOT)
    assert found == ["model=lstm", "init=default", "model.width=48"]


@pytest.mark.parametrize(("growth", "first"), [(2.0, "learning_rate/10"), (10.0, "learning_rate/30")])
def test_a_rate_that_blew_up_the_weights_is_lowered_further(growth: float, first: str) -> None:
    _, values = compose(["optimizer.learning_rate=0.09"], root=ROOT)
    norms = np.full((EPOCHS + 1, LAYERS), 10.0 * growth)
    norms[0] = 10.0
    planted = history(**FAULTS["learning_rate_too_high"], layers__weight_norm=norms)
    offered = remedies(diagnose(planted).findings, values)["learning_rate_too_high"]
    assert offered[0].name == first


def test_the_usual_rates_are_those_of_conf() -> None:
    for option in (ROOT / "conf/optimizer").glob("*.yaml"):
        assert USUAL_RATE[option.stem] == yaml.safe_load(option.read_text())["learning_rate"]


@pytest.mark.parametrize(("rate", "first"), [(9.9, "learning_rate/10"), (10.1, "usual_learning_rate")])
def test_a_rate_that_no_tenth_of_a_tenth_brings_back_is_replaced(rate: float, first: str) -> None:
    _, values = compose(["optimizer=sgd", f"optimizer.learning_rate={rate}"], root=ROOT)
    findings = diagnose(history(**FAULTS["learning_rate_too_high"])).findings
    assert remedies(findings, values)["learning_rate_too_high"][0].name == first
