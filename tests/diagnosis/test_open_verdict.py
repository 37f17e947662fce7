"""What is offered where no verdict could be given: more epochs while validation loss falls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.diagnosis import Diagnosis, diagnose
from pipeline.diagnosis.faults import fault_of
from pipeline.diagnosis.measured_run import MeasuredRun
from pipeline.diagnosis.open_verdict import still_falling
from pipeline.diagnosis.probes import settle
from planted_history import EPOCHS, history

# 8 % an epoch is the limit of "undertrained", and 5 % above the best epoch that of "overfitting".
AT_THE_LIMIT = 0.2 / 0.92 ** np.arange(EPOCHS - 1, -1, -1)
NEARLY_RISEN = 0.25 * np.append(np.ones(EPOCHS - 1), 1.05)


def settings(*overrides: str) -> Any:
    root = Path(__file__).parents[2]
    return compose([f"trainer.max_epochs={EPOCHS}", *overrides], root=root)[1]


def diagnosed(val: np.ndarray, values: Any, *, train: np.ndarray | None = None) -> Diagnosis:
    return diagnose(history(train=val if train is None else train, val=val, settings=values))


def test_an_open_verdict_on_a_falling_loss_offers_more_epochs() -> None:
    found = diagnosed(AT_THE_LIMIT, settings())
    assert found.verdict == "undetermined" and not found.findings
    (remedy,) = found.offered
    assert (remedy.name, remedy.overrides) == ("more_epochs", ("trainer.max_epochs=48",))


def test_an_open_verdict_offers_the_first_remedy_of_each_undecided_fault() -> None:
    found = diagnosed(NEARLY_RISEN, settings(), train=np.full(EPOCHS, 0.08))
    assert found.verdict == "undetermined"
    assert [f.verdict for f in found.undecided] == ["overfitting"]
    (remedy,) = found.offered
    first = next(fault_of("overfitting").remedies(settings(), found.undecided[0]))
    assert (remedy.name, remedy.overrides) == (first.name, first.overrides)
    assert "if it is overfitting" in remedy.why
    without = diagnosed(NEARLY_RISEN, {}, train=np.full(EPOCHS, 0.08))
    assert (without.verdict, without.offered) == ("undetermined", ())


@pytest.mark.parametrize(
    ("num_epochs", "offered"), [(5, ["more_epochs", "dropout"]), (8, ["dropout"])]
)
def test_fewer_than_eight_epochs_are_short(num_epochs: int, offered: list[str]) -> None:
    val = 0.25 * np.append(np.ones(num_epochs - 1), 1.05)
    values = settings(f"trainer.max_epochs={num_epochs}")
    found = diagnosed(val, values, train=np.full(num_epochs, 0.08))
    assert found.verdict == "undetermined"
    assert [remedy.name for remedy in found.offered] == offered


def test_an_open_verdict_on_a_run_that_is_too_short_offers_more_epochs() -> None:
    flat = np.array([2.3, 2.31, 2.29])
    found = diagnosed(flat, settings("trainer.max_epochs=3"))
    assert found.verdict == "undetermined"
    assert [r.name for r in found.offered] == ["more_epochs"]
    assert "short" in found.offered[0].why and "falling" not in found.offered[0].why


@pytest.mark.parametrize(
    "values", [pytest.param({}, id="no_settings"), settings("trainer.max_epochs=20")]
)
def test_a_run_that_its_epochs_did_not_end_offers_nothing(values: Any) -> None:
    assert diagnosed(AT_THE_LIMIT, values).offered == ()


def test_a_verdict_offers_the_remedies_of_its_fault_alone() -> None:
    found = diagnosed(np.full(EPOCHS, 2.3), settings())
    assert found.findings and found.offered == found.findings[0].remedies and not found.remedies


def test_probes_that_leave_a_verdict_open_leave_its_offer() -> None:
    found = diagnosed(AT_THE_LIMIT, settings())
    assert settle(found, (), settings=settings()).offered == found.offered
    healthy = diagnose(history())
    given = replace(healthy, remedies=found.remedies)
    assert settle(given, (), settings=settings()).offered == ()


@pytest.mark.parametrize(
    ("losses", "falls"),
    [
        pytest.param((1.9, 1.5, 1.3), True, id="three_epochs"),
        pytest.param((1.3929, 1.3893, 1.3793, 1.3767), True, id="slowly_in_every_epoch"),
        pytest.param((1.3929, 1.3793, 1.3893, 1.3767), False, id="slowly_with_a_rise"),
        pytest.param((0.5, 0.5, 0.5), False, id="flat_after_the_first_epoch"),
        pytest.param((1.5, 1.3, 1.31), False, id="a_last_step_upwards"),
        pytest.param((1.9,), True, id="one_epoch_below_the_start"),
        pytest.param((1.9, 1.5, np.nan), False, id="lost"),
        pytest.param((1.0, 0.8, 0.7, 0.5, 0.6, 0.57, 0.55, 0.53), False, id="best_long_ago"),
        pytest.param((1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.41, 0.42), True, id="best_of_late"),
    ],
)
def test_a_loss_falls_if_its_last_quarter_goes_down_to_its_lowest(
    losses: tuple[float, ...], falls: bool
) -> None:
    run = history(train=np.array(losses), val=np.array(losses))
    assert still_falling(MeasuredRun(run)) is falls
