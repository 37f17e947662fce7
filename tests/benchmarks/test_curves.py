"""The corpus of curves: copies trained together, the oracle, and what is kept."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "curves"))

import scores
from cases import FITTED, PARTS, Case
from fit import CELLS, folds, strange_to
from live import MARGIN, Replay, affordable, limits_of, louder
from oracle import best, cut, end_of, family, gain, label
from pack import Run, planes_of, runs, values_of
from scores import OVER, Told, best_limits, by_part, decided, said
from soften import Noise, holds
from stacked import CURVES, Settings, Trained, train, with_seed

from pipeline.diagnosis.learned.verdict import family_said
from pipeline.diagnosis.live.judge import ALARMS, Look
from pipeline.diagnosis.record import FAMILIES

SMALL = Settings("cancer", "mlp", 4, epochs=2, num_train=64, batch=16, rate=3e-3)


PAIRS = (
    "cancer mlp",
    "digits cnn",
    "digits gru",
    "diabetes residual",
    "prose transformer",
    "digits mixer",
    "digits separable",
    "digits temporal",
    "cancer gated",
    "cancer maxout",
    "cancer dense",
    "digits dense",
    "prose conv1d",
    "digits statespace",
    "digits setnet",
    "prose setnet",
    "digits graph",
    "cancer experts",
    "cancer splines",
    "digits local",
    "cancer sine",
)


@pytest.mark.parametrize("pair", PAIRS)
def test_every_network_trains_in_a_stack(pair: str) -> None:
    data, net = pair.split()
    changed = replace(SMALL, data=data, net=net)
    found = train([changed, with_seed(changed, 1)])
    assert set(found[0].curves) == set(CURVES)
    assert np.isfinite(found[0].curves["val_loss"]).all()
    assert not np.array_equal(found[0].curves["val_loss"], found[1].curves["val_loss"])


def test_a_copy_that_diverges_leaves_the_others_alone() -> None:
    alone = train([SMALL, with_seed(SMALL, 1)])
    wild = replace(SMALL, seed=1, rate=1e30, optimizer="sgd")
    beside = train([SMALL, wild])
    assert not np.isfinite(beside[1].curves["train_loss"]).all()
    assert beside[0].curves["val_loss"] == pytest.approx(alone[0].curves["val_loss"], rel=1e-3)


def test_a_fall_beyond_noise_is_a_gain_and_one_within_it_is_none() -> None:
    now = np.array([1.0, 1.1, 0.9, 1.0, 1.05])
    assert gain(now, 0.8 * now) == pytest.approx(0.2)
    assert gain(now, now * np.array([0.5, 1.6, 0.6, 1.5, 0.8])) == 0.0
    assert gain(0.001 * now, 0.0005 * now) == 0.0, "no difference that anybody would notice"


def run_of(settings: Settings, losses: list[float]) -> Trained:
    curve = np.array(losses, np.float32)
    return Trained(settings, dict.fromkeys(CURVES, curve), curve)


def test_a_planted_fault_holds_only_where_its_remedy_helps() -> None:
    remedy = replace(SMALL, rate=1e-3)
    case = Case("tune", "x", "learning_rate_too_high", SMALL, (remedy,))
    seeds = range(5)

    def there(mended: float) -> dict[Settings, Trained]:
        ends = {SMALL: 1.0, remedy: mended}
        return {
            with_seed(which, s): run_of(with_seed(which, s), [1.0, end + 0.01 * s])
            for which, end in ends.items()
            for s in seeds
        }

    assert label(case, there(0.5), seeds) == "learning_rate_too_high"
    assert label(case, there(0.97), seeds) is None


def test_a_log_ends_as_early_stopping_ends_it() -> None:
    case = Case("tune", "x", "healthy", SMALL, (), patience=2)
    run = run_of(SMALL, [3.0, 2.0, 2.1, 2.2, 1.0, 1.0])
    assert end_of(case, run) == 3
    assert best(run, 3) == 1
    rising = [run_of(SMALL, [1.0, 0.5, 0.5, 0.55, 0.7 + 0.01 * s, 0.9]) for s in range(5)]
    assert cut(case, rising) == 4


def curves_of(settings: Settings, train: list[float], test: list[float]) -> Trained:
    """A run whose validation is as the test."""
    curves = dict.fromkeys(CURVES, np.array(test, np.float32))
    return Trained(settings, {**curves, "eval_loss": np.array(train, np.float32)}, np.zeros(1))


MENDED = replace(SMALL, rate=1e-3)
CASE = Case("tune", "x", "learning_rate_too_high", SMALL, (MENDED,))
FELL = [1.0, 0.7, 0.5, 0.4, 0.38, 0.37]


@pytest.mark.parametrize(
    ("train", "test", "fault", "happened"),
    [
        ([1.0, 0.7, 0.5, 0.4, 0.2, 0.1], [1.0, 0.7, 0.5, 0.5, 0.7, 0.9], "x", "fits_and_fails"),
        ([1.0, 0.7, 0.5, 0.5, 0.7, 0.9], [1.0, 0.7, 0.5, 0.5, 0.7, 0.9], "x", "unstable"),
        ([1.0, 0.7, 0.5, 9.0, 9.0, np.nan], [1.0, 0.7, 0.5, 9.0, 9.0, np.nan], "x", "unstable"),
        ([1.0, 0.5, 0.9, 0.5, 0.9, 0.5], [1.0, 0.5, 0.9, 0.5, 0.9, 0.5], "x", "unstable"),
        ([0.9] * 6, [0.9] * 6, "x", "does_not_fit"),
        ([0.38] * 6, [0.9] * 6, "x", None),  # the remedy gains nothing on the training part
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], "x", None),
        ([0.9, 0.3, 0.2, 0.1, 0.1, 0.1], [0.9, 0.5, 0.5, 0.5, 0.5, 0.5], "overfitting",
         "fits_and_fails"),
        (FELL, FELL, "undertrained", "stopped_too_early"),
        (FELL, FELL, "healthy", "healthy"),
        (FELL, [1.0, 0.7, 0.5, 0.5, 0.7, 0.9], "healthy", None),
    ],
    ids=["past_best", "rose_together", "lost", "shaken", "flat", "not_reducible", "still_falling",
         "gap", "short", "healthy", "healthy_past_best"],
)  # fmt: skip
def test_the_family_is_what_happened_to_the_run(
    train: list[float], test: list[float], fault: str, happened: str | None
) -> None:
    run = curves_of(SMALL, train, test)
    there = {SMALL: run, MENDED: curves_of(MENDED, FELL, FELL)}
    assert family(CASE, fault, run, len(test), there) == happened


def test_the_corpus_holds_labelled_logs_of_parts_that_share_nothing() -> None:
    assert not {"sealed", "locked"} & set(FITTED)
    for name in ("unseen", "sealed", "locked"):
        others = [pair for part in PARTS for pair in PARTS[part] if part != name]
        assert not {p.data for p in others} & {p.data for p in PARTS[name]}
        assert not {p.net for p in others} & {p.net for p in PARTS[name]}
    kept = list(runs(*PARTS))
    assert len(kept) > 3000
    assert {run.family for run in kept} == set(FAMILIES.values())
    assert {run.fault for run in kept} <= set(FAMILIES)
    for part in PARTS:
        pairs = {run.pair for run in kept if run.part == part}
        assert pairs == {(p.data, p.net) for p in PARTS[part]}
    one = kept[0]
    assert len(one.curves["val_loss"]) == len(one.curves["train_loss"])


def test_numbers_in_two_planes_of_bytes_come_back_bit_by_bit() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    np.testing.assert_array_equal(values_of(planes_of(bits.view(np.float16))).view(np.uint16), bits)
    assert planes_of(np.array([1.0], np.float16)).tolist() == [[0x00], [0x3C]]


# --- softened logs, parts left out ----------------------------------------------------------------


def test_noise_raises_a_loss_as_answers_drawn_anew_do() -> None:
    """Against 200,000 answers: the best loss and accuracy of somebody who knows the share."""
    noise, dice = Noise(0.4, 5), np.random.default_rng(0)
    answers = np.where(dice.random(200_000) < 0.4, dice.integers(0, 5, 200_000), 0)
    shares = np.bincount(answers) / len(answers)
    perfect, guessing = noise.loss(np.array([0.0, np.log(5)]))
    assert perfect == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.01)
    assert guessing == pytest.approx(np.log(5))
    assert noise.accuracy(np.array([1.0]))[0] == pytest.approx(shares[0], abs=0.005)
    regression = Noise(0.5, 0)
    assert regression.loss(np.array([0.25]))[0] == pytest.approx(0.75), "variances add up"


@pytest.mark.parametrize(
    ("family", "train", "val", "share", "held"),
    [
        ("healthy", [0.2], [2.0, 0.3], 0.7, True),
        ("does_not_fit", [0.6], [2.0, 0.6], 0.0001, True),
        ("does_not_fit", [0.6], [2.0, 0.6], 0.7, False),  # 13 % above what can be reached
        ("does_not_fit", [2.2], [2.3, 2.2], 0.4, True),
        ("fits_and_fails", [0.01], [2.0, 0.3, 0.5], 0.0001, True),
        ("fits_and_fails", [0.4], [2.0, 0.3, 0.5], 0.7, False),
        ("unstable", [9.0], [2.0, 0.3, np.nan], 0.5, True),
    ],
)
def test_a_softened_label_holds_only_where_the_harm_is_still_clear(
    family: str, train: list[float], val: list[float], share: float, held: bool
) -> None:
    curves = {"val_loss": np.array(val), "eval_loss": np.array(train)}
    run = Run("tune", "x", "x", family, "x", 10, 1, {}, curves, np.zeros(1))
    assert holds(run, Noise(share, 10), reach=0.3) is held


def test_a_fold_sees_neither_the_data_nor_the_network_that_it_judges() -> None:
    groups = np.array(
        ["mnist-mlp", "mnist_noisy-cnn", "digits-gru", "coloured_digits-mlp", "wine-mlp",
         "law-lstm", "wine-residual", "digits_unsure-cnn"]
    )  # fmt: skip
    judged = np.zeros(len(groups), int)
    kinds = {"gru": "lstm"}
    for out, seen in folds(groups):
        judged += out
        for a in groups[out]:
            for b in groups[seen]:
                (data, net), (other, other_net) = a.split("-"), b.split("-")
                assert kinds.get(net, net) != kinds.get(other_net, other_net)
                assert not {"mnist", "digits", "wine"} & {*data.split("_")} & {*other.split("_")}
    assert (judged == 1).all()
    assert CELLS >= 2


def test_a_part_is_judged_by_models_that_know_neither_it_nor_its_data() -> None:
    groups = ["mnist-mlp", "mnist_noisy-cnn", "digits-gru", "coloured_digits-mlp", "wine-mlp",
              "digits_unsure-cnn", "law-lstm"]  # fmt: skip
    parts = np.array(["tune", "more", "tune", "more", "spent", "unsure", "more"])
    seen = {part: strange_to(part, parts, np.array(groups)) for part in ("tune", "unsure")}
    assert [groups[i] for i in np.flatnonzero(seen["tune"])] == ["wine-mlp", "law-lstm"]
    assert [groups[i] for i in np.flatnonzero(seen["unsure"])] == [
        "mnist-mlp", "mnist_noisy-cnn", "wine-mlp", "law-lstm"
    ]  # fmt: skip


def test_limits_of_a_part_come_from_the_others() -> None:
    """In the second part health looks as a fault: its own limits would not alarm so often."""
    told = told_of(400)
    parts = np.repeat(["one", "two"], 200)
    swapped = told.p.copy()
    swapped[200:, [0, 2]] = swapped[200:, [2, 0]]
    lines = by_part(replace(told, p=swapped), parts).splitlines()
    alone = decided(told.at(parts == "one"), best_limits(told.at(parts == "one")))
    assert [line.split()[0] for line in lines] == ["one", "two", "all"]
    alarmed = [float(re.search(r"alarmed (\S+),", line)[1]) for line in lines]  # type: ignore[index]
    assert alone.alarmed < 0.1 and alarmed[1] > 0.5


# --- limits of alarms while a training runs -------------------------------------------------------


@pytest.mark.parametrize(
    ("alarms", "runs", "afforded"),
    [
        ([0] * 80, [5] * 80, True),
        ([1] + [0] * 79, [1] * 80, True),  # 2 of 81 pairs, with one that always alarms
        ([1, 1] + [0] * 78, [1] * 80, False),  # 3 of 81 are 3.7 %
        ([40] + [0] * 79, [40] + [1] * 79, True),  # a third of all runs, yet one pair
        ([1] * 8 + [0] * 72, [10] * 80, True),  # eight tenths of a pair
        ([0] * 20, [5] * 20, False),  # of 20 pairs nobody can promise 3 %
    ],
)
def test_a_new_pair_is_counted_as_one_that_always_alarms(
    alarms: list[int], runs: list[int], afforded: bool
) -> None:
    pairs = np.repeat(np.arange(len(runs)), runs)
    alarmed = np.concatenate([np.arange(n) < k for k, n in zip(alarms, runs, strict=True)])
    assert affordable(alarmed, pairs) is afforded


def test_calm_runs_count_as_louder_by_the_margin() -> None:
    found = louder(np.array([0.0, 0.5, 0.9, 1.0]))
    assert found == pytest.approx([0, 1 / (1 + np.exp(-MARGIN)), 0.93687, 1], abs=1e-5)


def look(points: int, family: str, probability: float) -> Look:
    verdict = {"does_not_fit": "not_learning", "fits_and_fails": "overfitting"}.get(family, "x")
    return Look(points, {(family, verdict): probability, ("healthy", "healthy"): 0.0}, False)


def test_the_limits_have_the_most_right_alarms_that_are_affordable() -> None:
    """One calm pair of 80 speaks for each family at 0.8, which counts as 0.87."""

    def run(pair: str, family: str, said: str, p: float) -> Replay:
        looks = tuple(look(n, said, p) for n in (4, 5))
        return Replay("tune", family, family, pair, 5, looks)

    calm = [run(f"pair{k}", "healthy", "healthy", 1.0) for k in range(77)]
    loud = [run(f"loud {f}", "healthy", f, 0.8) for f in ALARMS]
    sick = [run("sick", f, f, p) for f in ALARMS for p in (0.83, 0.91, 0.99)]
    found = limits_of([*calm, *loud, *sick])
    louder_than = [f for f in ALARMS if found[f] > 0.87]
    assert len(louder_than) == 2, "one of 80 pairs may alarm, as 2 of 81 are 2.5 %"
    assert all(0.87 < found[f] <= 0.91 for f in louder_than)


# --- the limits of the verdict --------------------------------------------------------------------


def told_of(count: int, *, clear: float = 4.0) -> Told:
    dice = np.random.default_rng(1)
    families = np.array(["does_not_fit", "fits_and_fails", "healthy", "unstable"])
    true = families[dice.integers(0, 4, count)]
    scores = dice.normal(size=(count, 4)) + clear * (true[:, None] == families)
    odds = np.exp(scores)
    return Told(odds / odds.sum(1, keepdims=True), families, families, true, true)


@pytest.fixture
def few_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "TRIED_SICK", (0.5, 0.8, 0.95))
    monkeypatch.setattr(scores, "TRIED_HEALTHY", (0.1, 0.4))


@pytest.mark.usefixtures("few_limits")
def test_the_best_limits_are_those_of_trying_each() -> None:
    told = told_of(400, clear=2.5)
    families = list(told.families)

    def value(least: tuple[float, ...]) -> tuple[float, float]:
        words = said(told, dict(zip(families, least, strict=True)))
        both = [
            f1_score(told.true_family, words, labels=families, average="macro"),
            f1_score(told.true_family == OVER, words == OVER, average="macro"),
        ]
        sound = words[told.true_family == "healthy"]
        missed = np.mean((sound != "healthy") & (sound != "")) - scores.MOST_ALARMED
        missed = max(missed, 0) + max(scores.LEAST_CALLED - np.mean(sound == "healthy"), 0)
        missed += max(np.mean(words == "") - scores.MOST_OPEN, 0)
        return -round(float(missed), 4), sum(both)

    tried = product(*[scores.TRIED_SICK] * 2, scores.TRIED_HEALTHY, scores.TRIED_SICK)
    found = best_limits(told)
    assert value(tuple(found[name] for name in families)) == pytest.approx(max(map(value, tried)))


@pytest.mark.usefixtures("few_limits")
def test_limits_keep_the_rates_and_are_read_as_the_verdict_reads_them() -> None:
    told = told_of(900)
    limits = best_limits(told)
    found = decided(told, limits)
    assert found.excess == 0.0
    careful = decided(told, {**dict.fromkeys(told.families, 0.95), "healthy": 0.05})
    assert found.f1 > careful.f1
    words = [family_said(dict(zip(told.families, p, strict=True)), limits) for p in told.p]
    assert words == list(said(told, limits))
    sound = told.true_family == "healthy"
    alarmed = np.mean([word not in ("healthy", "") for word in np.array(words)[sound]])
    assert found.alarmed == pytest.approx(alarmed)
