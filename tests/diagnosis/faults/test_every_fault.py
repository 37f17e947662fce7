"""Every fault has a whole card, a rank of its own, a test, and remedies that compose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis import History, diagnose
from pipeline.diagnosis.fault import Fault
from pipeline.diagnosis.faults import FAULTS as ALL
from pipeline.diagnosis.faults import fault_of, remedies_by_name
from pipeline.diagnosis.measured import Unmeasured
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.record import Finding
from planted_history import FAULTS, history

ROOT = Path(__file__).parents[3]
VERDICTS = {fault.verdict for fault in ALL}
BASES = {
    "mlp": ["optimizer.learning_rate=3e-3"],
    "sigmoid": ["activation=sigmoid", "init=xavier", "model.depth=8", "optimizer=sgd"],
    "cnn": [
        *("model=cnn", "augment=shift", "augment.max_pixels=1"),
        *("model.dropout=0.9", "penalty.l2=0.1"),
    ],
    "rnn": ["model=rnn", "init=normal", "init.std=0.02", "model.width=48", "data.fraction=0.5"],
    "lstm": ["model=lstm", "init=default", "trainer.keep=best", "loss=label_smoothing"],
    "noisy": ["init=zeros", "data.label_noise=0.3", "optimizer=adamw"],
    "exploding": ["init=he", "init.gain=5.0", "schedule=cosine", "experiment=tutorial_mlp"],
}

every_fault = pytest.mark.parametrize("fault", ALL, ids=[fault.verdict for fault in ALL])
every_base = pytest.mark.parametrize("base", BASES)


@cache
def composed(overrides: tuple[str, ...]) -> Mapping[str, Any]:
    """The settings of these overrides; many remedies of several faults give the same."""
    return compose(list(overrides), root=ROOT)[1]


def settings_of(base: str) -> Mapping[str, Any]:
    return composed(tuple(BASES[base]))


@every_fault
def test_its_card_is_whole(fault: Fault) -> None:
    for text in (fault.what, fault.harm, fault.decides, fault.fails, fault.source):
        assert len(text) > 20, text
        assert text.endswith("."), text


@every_fault
def test_it_names_only_other_faults_as_causes_and_consequences(fault: Fault) -> None:
    assert fault.explains | fault.explained_by <= VERDICTS - {fault.verdict}


@every_fault
def test_it_has_a_file_and_a_test_of_its_name(fault: Fault) -> None:
    assert fault.judge.__module__ == f"pipeline.diagnosis.faults.{fault.verdict}"
    assert Path(__file__).with_name(f"test_{fault.verdict}.py").is_file()


@every_fault
def test_the_causes_that_it_names_stand_before_it(fault: Fault) -> None:
    assert all(fault_of(cause).rank < fault.rank for cause in fault.explained_by)


def test_no_two_faults_share_a_rank_or_a_name() -> None:
    assert len({fault.rank for fault in ALL}) == len(VERDICTS) == len(ALL)


@every_fault
def test_its_conditions_have_keys_and_words(fault: Fault) -> None:
    finding = fault.judged(MeasuredRun(history()))
    assert isinstance(finding, Finding)
    assert finding.conditions
    assert all(c.key.isidentifier() and c.what for c in finding.conditions)


@every_fault
def test_it_asks_for_more_than_one_epoch_of_one_curve(fault: Fault) -> None:
    one_epoch = History(np.array([0]), {"train/loss": np.array([0.5])})
    assert isinstance(fault.judged(MeasuredRun(one_epoch)), Unmeasured)


@every_base
@every_fault
def test_its_remedies_compose_and_change_something(fault: Fault, base: str) -> None:
    values = settings_of(base)
    own = overrides_of(values, root=ROOT)
    offered = tuple(fault.remedies(values, fault.finding((), holds=1.0)))
    assert offered, "a fault without any way out"
    assert len({remedy.name for remedy in offered}) == len(offered)
    for remedy in offered:
        assert remedy.why
        assert composed(tuple(merge(own, remedy.overrides, root=ROOT))) != values, remedy


def test_without_settings_nothing_is_offered() -> None:
    found = diagnose(history(**FAULTS["overfitting"], settings={}))
    assert found.findings[0].remedies == ()


@every_base
def test_every_remedy_is_known_by_its_name_but_checks(base: str) -> None:
    known = remedies_by_name(settings_of(base))
    assert all(known[name].name == name for name in known)
    assert "overfit_batch" not in known
    assert "more_epochs" in known
