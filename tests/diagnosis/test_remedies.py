"""Remedies that several faults share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.faults import remedies_by_name
from pipeline.diagnosis.remedies import (
    USUAL_RATE,
    batch_norm,
    file_label,
    less_regularization,
    more_epochs,
    wider,
)
from planted_history import FAULTS, history

ROOT = Path(__file__).parents[2]


def settings(*overrides: str) -> Any:
    return compose(overrides, root=ROOT)[1]


@pytest.mark.parametrize("trains_itself", [True, False])
def test_a_module_that_trains_itself_gets_only_what_changes_it(trains_itself: bool) -> None:
    planted = history(**FAULTS["overfitting"], settings=settings())
    context = replace(planted.context, trains_itself=trains_itself)
    remedies = diagnose(replace(planted, context=context)).findings[0].remedies
    keys = {o.partition("=")[0].partition(".")[0] for r in remedies for o in r.overrides}
    assert "augment" in keys
    assert bool(keys & {"penalty", "loss", "optimizer"}) is not trains_itself


def test_the_usual_rates_are_those_of_conf() -> None:
    for option in (ROOT / "conf/optimizer").glob("*.yaml"):
        usual = yaml.safe_load(option.read_text())["learning_rate"]
        assert USUAL_RATE.get(option.stem) == usual, f"write {option.stem} into USUAL_RATE"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("learning_rate/10", "learning_rate_over_10"),
        ("learning_rate*3.16", "learning_rate_times_3_16"),
        ("dropout+augment", "dropout_and_augment"),
    ],
)
def test_a_remedy_s_name_becomes_part_of_a_file_s(name: str, label: str) -> None:
    assert file_label(name) == label


def test_more_epochs_cost_as_many_times_as_they_last() -> None:
    remedy = more_epochs(settings("trainer.max_epochs=2"), times=3)
    assert remedy.overrides == ("trainer.max_epochs=10",)
    assert remedy.cost == 5


def test_strong_regularizations_are_first_taken_away_together() -> None:
    found = list(less_regularization(settings("model.dropout=0.8", "penalty.l2=0.1")))
    assert [r.name for r in found] == ["no_regularization", "no_penalty", "less_dropout"]
    assert found[0].overrides == found[1].overrides + found[2].overrides


@pytest.mark.parametrize("value", [None, [64, 128], "wide", True, 0.0])
def test_arguments_of_an_own_network_that_mean_something_else_are_left(value: Any) -> None:
    keys = ("width", "depth", "dropout", "block_dropout", "normalization")
    own = {
        **settings(),
        "model": {"name": "own", "_target_": "mine.Net", **dict.fromkeys(keys, value)},
    }
    changed = {o for remedy in remedies_by_name(own).values() for o in remedy.overrides}
    found = {o for o in changed if o.startswith("model.")}
    assert found == ({"model.dropout=0.5"} if value == 0.0 else set())


def test_a_model_without_width_or_normalization_is_offered_neither() -> None:
    other = {"model": {"name": "linear"}}
    assert list(wider(other)) == []
    assert list(batch_norm(other)) == []
