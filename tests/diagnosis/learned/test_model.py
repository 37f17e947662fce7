"""The fitted model: hats, trees and their mean, against hand-made ones and scikit-learn."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.diagnosis.learned.model import Judged, Model, Term, fitted, hats
from pipeline.diagnosis.learned.numbers import NAMES
from pipeline.diagnosis.learned.trees import Trees
from pipeline.diagnosis.record import FAMILIES

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks" / "curves"))

HEALTHY, OVER = ("healthy", "healthy"), ("fits_and_fails", "overfitting")
KNOTS = np.array([-1.0, 0.0, 2.0])


@pytest.mark.parametrize("value", [-5.0, -1.0, -0.25, 0.0, 1.0, 2.0, 9.0])
def test_hats_interpolate(value: float) -> None:
    heights = np.array([3.0, 1.0, 4.0])
    assert hats(value, KNOTS) @ heights == pytest.approx(np.interp(value, KNOTS, heights))
    assert hats(value, KNOTS).sum() == pytest.approx(1.0)


TERM = Term(
    knots=(0.0, 1.0), weights=((0.0, 0.0), (2.0, 0.0)), missing=(0.0, 1.0), low=0.0, high=1.0
)
# x ≤ 0.5: -1, else +1, for the first fault; a missing x goes left.
STUMP = [0, 0.5, 1, 0.0, -1.0, 1.0]
MODEL = Model(
    version=3, made_by="hand", classes=(HEALTHY, OVER), intercepts=(0.0, 0.0),
    temperature=1.0, widening=0.0, limits={}, shown_as={}, terms={"x": TERM},
    trees=Trees(names=("x",), start=(0.0, 0.0), trees=((STUMP,), ())),
)  # fmt: skip


@pytest.mark.parametrize(
    ("x", "score"), [(1.0, (2 + 1) / 2), (0.0, (0 - 1) / 2), (math.nan, (-1 - 1) / 2)]
)
def test_the_score_is_the_mean_of_sum_and_trees(x: float, score: float) -> None:
    found = MODEL.judge({"x": x})
    assert found.classes[HEALTHY] == pytest.approx(1 / (1 + math.exp(-score)))
    ((name, weight),) = found.reasons(*HEALTHY)
    assert (name, weight) == ("x", pytest.approx(score))


def test_values_beyond_the_corpus_are_far() -> None:
    assert [MODEL.judge({"x": x}).distance for x in (0.5, 1.0, 1.25, 7.0)] == [0.0, 0.0, 0.25, 1.0]


def test_the_fitted_model_knows_its_numbers_and_faults() -> None:
    model = fitted()
    assert set(model.terms) <= set(NAMES) and set(model.trees.names) <= set(NAMES)
    assert {family for family, _ in model.classes} == set(FAMILIES.values())
    assert {fault for _, fault in model.classes} <= set(FAMILIES)
    found = model.judge(dict.fromkeys(NAMES, math.nan))
    assert sum(found.classes.values()) == pytest.approx(1.0)
    assert sum(found.families.values()) == pytest.approx(1.0)
    assert not set(model.shown_as) & set(found.verdicts)
    assert set(model.limits) == set(FAMILIES.values())


def test_a_fault_can_show_itself_in_two_families() -> None:
    rate = "learning_rate_too_high"
    classes = {HEALTHY: 0.1, ("unstable", rate): 0.5, ("does_not_fit", rate): 0.3, OVER: 0.1}
    found = Judged(classes, {}, 0.0)
    assert found.verdicts[rate] == pytest.approx(0.8)
    assert found.families["unstable"] == 0.5
    assert found.within("does_not_fit") == {rate: 0.3}


def test_grown_trees_are_read_as_they_were_fitted() -> None:
    from fit import Grown, Sample

    dice = np.random.default_rng(0)
    values = np.full((900, len(NAMES)), math.nan)
    values[:, :3] = dice.normal(size=(900, 3))
    values[dice.random(900) < 0.2, 1] = math.nan
    faults = np.where(np.nan_to_num(values[:, 0] * values[:, 1]) > 0, "healthy", "overfitting")
    faults[values[:, 2] > 1] = "undertrained"
    no = np.zeros(900, bool)
    grown = Grown(NAMES[:3]).fit(Sample(values, faults, faults, faults, no, no))
    trees = Trees(**grown.content())  # type: ignore[arg-type]
    fresh = np.full((50, len(NAMES)), math.nan)  # thresholds lie on values of the sample
    fresh[:, :3] = dice.normal(size=(50, 3))
    fresh[::5, 1] = math.nan
    for row, scores in zip(fresh, grown.scores(fresh), strict=True):
        found, said = trees.scores(dict(zip(NAMES, row, strict=True)))
        assert found == pytest.approx(scores, abs=0.01)
        base = np.array(trees.start) + [
            sum(t[3] if isinstance(t, list) else t for t in ts) for ts in trees.trees
        ]
        assert base + sum(said.values()) == pytest.approx(found)
