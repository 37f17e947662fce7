"""Probes: the arithmetic in closed form, each decision on hand-made losses and beside a healthy twin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config import compose
from pipeline.diagnosis import diagnose
from pipeline.diagnosis.finding import Finding, above
from pipeline.diagnosis.probes import Batch, Evidence, Fork, Outcome, as_json, settle
from pipeline.diagnosis.probes.evidence import MOST_ODDS, weighed
from pipeline.diagnosis.probes.outcome import FACTORS
from pipeline.diagnosis.probes.settle import evidence_of
from pipeline.models.build import Architecture, build_network
from pipeline.models.widen import NotWidened, embed
from planted_history import EPOCHS, FAULTS, history

N = 1000
HARDNESS = np.random.default_rng(0).exponential(size=N)
HARDNESS /= HARDNESS.mean()


def fork(val: float, train: float | None = None, *, jitter: float = 0.002) -> Fork:
    """Two repeats around these mean losses, on the same easy and hard examples."""
    repeats = np.array([1 - jitter, 1 + jitter])[:, None]
    return Fork(val * repeats * HARDNESS, (val if train is None else train) * repeats * HARDNESS)


def batch(own: float = 0.01, adam: float | None = None) -> Batch:
    entropy = np.array([2.2, 2.2, 2.2])
    wobble = np.array([0.98, 1.0, 1.02])
    return Batch(entropy, own * wobble, None if adam is None else adam * wobble)


def outcome(**changes: Any) -> Outcome:
    """A run at rest at 0.2: nothing changes its loss but large steps, which harm it."""
    rates = {0.1: 0.199, 0.3: 0.199, 1.0: 0.2, 3.0: 0.22, 10.0: 0.4} | changes.pop("rates", {})
    made = Outcome(
        before=Fork(0.2 * HARDNESS[None], 0.18 * HARDNESS[None]),
        rates={f: v if isinstance(v, Fork) else fork(v, 0.9 * v) for f, v in rates.items()},
        fresh=fork(0.6),
        wider=fork(0.198, 0.175),
        batch=batch(),
        epochs=3,
        kept_is_last=True,
    )
    return replace(made, **changes)


def sides(o: Outcome) -> dict[str, str]:
    return {e.verdict: e.points for e in evidence_of(o)}


# --- numbers ------------------------------------------------------------------------------------------


def test_a_fall_is_the_share_of_the_mean_loss_and_its_noise_that_of_paired_examples() -> None:
    """Equal repeats: only examples are left, and their error is that of the ratio of two means."""
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2.0, 0.1, size=N), rng.gamma(2.0, 0.12, size=N)
    same = {f: Fork(np.stack([a, a]), np.stack([a, a])) for f in FACTORS}
    o = outcome(before=Fork(b[None], b[None]), rates=same)
    found = o.fall(o.before, o.rates[1.0])
    assert found.value == pytest.approx(1 - a.mean() / b.mean())
    draws = rng.integers(N, size=(4000, N))
    resampled = 1 - a[draws].mean(1) / b[draws].mean(1)
    assert found.error == pytest.approx(resampled.std(), rel=0.05)


def test_pairing_takes_out_what_examples_share() -> None:
    o = outcome(rates={1.0: fork(0.18, jitter=0.0)} | {f: fork(0.2, jitter=0.0) for f in FACTORS if f != 1})
    assert o.fall(o.before, o.rates[1.0]).error == pytest.approx(0.0, abs=1e-12)


def test_the_noise_of_the_order_is_in_the_error_also_where_two_repeats_agree_by_luck() -> None:
    jitter = 0.03
    o = outcome(rates={f: fork(0.2, jitter=jitter) for f in FACTORS if f != 1} | {1.0: fork(0.2, jitter=0.0)})
    assert o.run_noise == pytest.approx(1.4826 * jitter * math.sqrt(2), rel=0.01)
    assert o.fall(o.before, o.rates[1.0]).error == pytest.approx(o.run_noise / math.sqrt(2), rel=0.01)


def test_a_fork_that_diverged_is_worse_than_anything() -> None:
    lost = Fork(np.full((2, N), np.inf), np.full((2, N), np.inf))
    o = outcome(rates={10.0: lost, 3.0: lost})
    assert o.fall(o.before, lost).value == -math.inf and math.isfinite(o.run_noise)
    assert sides(o)["learning_rate_too_low"] == "against"
    found = as_json.measured(o)
    assert found["forks"]["learning_rate*10"]["val_loss"] == [None, None]


# --- decisions ----------------------------------------------------------------------------------------

# id: (what differs from the run at rest, verdict, the side wanted; None: the probes say nothing)
TABLE: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "at_rest_rate_high": ({}, "learning_rate_too_high", "against"),
    "at_rest_rate_low": ({}, "learning_rate_too_low", "against"),
    "at_rest_width": ({}, "underfitting", "against"),
    "at_rest_longer": ({}, "undertrained", "against"),
    "at_rest_overfitting": ({}, "overfitting", None),
    "at_rest_learns": ({}, "not_learning", None),
    "smaller_steps_help": ({"rates": {0.1: 0.1}}, "learning_rate_too_high", "for"),
    # Whatever the rate: the run only was not done yet.
    "smaller_steps_help_as_do_its_own": (
        {"rates": {0.1: 0.1, 0.3: 0.1, 1.0: 0.1}},
        "learning_rate_too_high",
        "against",
    ),
    "smaller_steps_repair_what_its_own_harm": (
        {"rates": {0.1: 0.198, 1.0: 0.3}},
        "learning_rate_too_high",
        "against",
    ),
    "new_weights_overtake_ruined_ones": ({"fresh": fork(0.15)}, "learning_rate_too_high", "for"),
    "new_weights_come_near": ({"fresh": fork(0.21)}, "learning_rate_too_high", "against"),
    "larger_steps_go_faster": ({"rates": {1.0: 0.19, 10.0: 0.12}}, "learning_rate_too_low", "for"),
    "larger_steps_go_a_little_faster": (
        {"rates": {1.0: 0.12, 3.0: 0.11}},
        "learning_rate_too_low",
        "against",
    ),
    "larger_steps_go_faster_nowhere": (
        {"rates": {1.0: 0.1999, 10.0: 0.197}},
        "learning_rate_too_low",
        "against",
    ),
    # A thousand times too low: ten times as much is next to nothing too, but Adam learns a batch.
    "steps_of_nothing": (
        {"rates": {1.0: 0.1999, 3.0: 0.1997, 10.0: 0.195}, "batch": batch(2.2, 0.02)},
        "learning_rate_too_low",
        "for",
    ),
    "longer_helps": ({"rates": {1.0: 0.15}}, "undertrained", "for"),
    "longer_harms": ({"rates": {1.0: fork(0.23, 0.12)}}, "overfitting", "for"),
    "longer_harms_both": ({"rates": {1.0: fork(0.23, 0.22)}}, "overfitting", None),
    "longer_harms_what_was_stopped_in_time": (
        {"rates": {1.0: fork(0.23, 0.12)}, "kept_is_last": False},
        "overfitting",
        None,
    ),
    "longer_helps_so_it_is_not_past_its_best": ({"rates": {1.0: 0.15}}, "overfitting", "against"),
    "width_helps": ({"wider": fork(0.12, 0.1)}, "underfitting", "for"),
    "width_helps_on_training_images_only": ({"wider": fork(0.2, 0.05)}, "underfitting", "against"),
    "width_helps_by_luck": ({"wider": fork(0.12, 0.18)}, "underfitting", "against"),
    "width_helps_what_was_not_done_yet": (
        {"rates": {1.0: 0.15}, "wider": fork(0.1, 0.08)},
        "underfitting",
        None,
    ),
    "width_was_not_tried": ({"wider": None}, "underfitting", None),
    "stuck": ({"batch": batch(2.3, 2.25)}, "not_learning", "for"),
    "stuck_units": ({"batch": batch(2.3, 2.25)}, "dead_units", "for"),
    "stuck_gradients": ({"batch": batch(2.3, 2.25)}, "vanishing_gradients", "for"),
    "stuck_so_forks_say_nothing": ({"batch": batch(2.3, 2.25)}, "learning_rate_too_high", None),
    "moves_by_adam": ({"batch": batch(2.3, 0.01)}, "not_learning", None),
    "half_by_heart": ({"batch": batch(1.1, 1.0)}, "not_learning", None),
    "its_steps_explode": ({"batch": batch(math.inf, 0.01)}, "not_learning", None),
}


@pytest.mark.parametrize(("changes", "verdict", "wanted"), TABLE.values(), ids=TABLE.keys())
def test_each_probe_points_where_its_numbers_do(
    changes: dict[str, Any], verdict: str, wanted: str | None
) -> None:
    assert sides(outcome(**changes)).get(verdict) == wanted


def test_a_gain_within_its_noise_decides_nothing() -> None:
    """A fall by 15 % is beyond the limit; with repeats that differ by 40 % it is next to even."""
    sure, shaky = (
        next(e for e in evidence_of(outcome(rates=r)) if e.verdict == "undertrained")
        for r in (
            {1.0: 0.165},
            {f: fork(0.165 if f == 1 else 0.2, jitter=0.4) for f in FACTORS},
        )
    )
    assert sure.odds == MOST_ODDS
    assert 1 / 2 < shaky.odds < 2


# --- what follows -------------------------------------------------------------------------------------


def evidence(verdict: str, points: Any, p: float = 1.0) -> Evidence:
    condition = replace(above("x", 1.0, limit=0.0, grey=1.0), probability=p)
    return Evidence(verdict, points, (condition,))


def test_odds_are_those_of_the_weakest_condition_and_bounded() -> None:
    assert evidence("a", "for", 0.8).odds == pytest.approx(4)
    assert evidence("a", "against", 0.8).odds == pytest.approx(1 / 4)
    assert evidence("a", "for", 1.0).odds == MOST_ODDS and evidence("a", "against", 0.999).odds == 1 / 9
    weak = weighed("a", [above("x", 1.0, limit=0.0, grey=1.0), above("y", -1.0, limit=0.0, grey=1.0)])
    assert weak.points == "against" and weak.probability == pytest.approx(0.8413, abs=1e-4)
    assert weak.conditions[0].what == "y" and weak.conditions[0].wanted == "below"


OPEN = 0.25 * np.append(np.ones(EPOCHS - 1), 1.05)  # a rise on its limit, see test_diagnosis.py


@pytest.mark.parametrize(("points", "verdict"), [("for", "overfitting"), ("against", "healthy")])
def test_a_probe_settles_what_the_curves_leave_open(points: str, verdict: str) -> None:
    found = diagnose(history(train=np.full(EPOCHS, 0.08), val=OPEN, train_wrong=0.02))
    assert found.verdict == "undetermined"
    settled = settle(found, [evidence("overfitting", points)])
    assert settled.before is found and settled.after.verdict == verdict
    before = found.open[0].probability
    wanted = 9 * before / (8 * before + 1) if points == "for" else before / (9 - 8 * before)
    assert settled.changes[0].after == pytest.approx(wanted)


@pytest.mark.parametrize("verdict", FAULTS)
def test_a_probe_overturns_no_clear_verdict(verdict: str) -> None:
    found = diagnose(history(**FAULTS[verdict]))
    against = [evidence(f.verdict, "against") for f in found.findings if f.probability > 0.94]
    if against:
        assert settle(found, against).after.verdict == verdict


def test_a_probe_makes_no_clearly_healthy_run_sick() -> None:
    found = diagnose(history())
    every = [evidence(f.verdict, "for") for f in found.ruled_out if f.probability < 0.14]
    assert every and settle(found, every).after.verdict == "healthy"


def test_a_rule_that_could_not_run_is_judged_by_the_probe_alone() -> None:
    short = history(train=np.array([0.5, 0.49, 0.489]), val=np.array([0.52, 0.515, 0.514]), signals=False)
    found = diagnose(short)
    assert found.verdict == "undetermined" and "underfitting" in dict(found.not_run)
    settled = settle(found, [evidence("underfitting", "for")])
    assert settled.after.verdict == "underfitting" and settled.changes[0].before is None
    assert settled.changes[0].after == pytest.approx(0.9)
    assert "underfitting" not in dict(settled.after.not_run)


def test_without_evidence_nothing_changes() -> None:
    found = diagnose(history(**FAULTS["overfitting"]))
    assert settle(found, []).after == found


def test_a_finding_without_probes_holds_as_far_as_its_weakest_condition() -> None:
    conditions = evidence("a", "for", 0.3).conditions + evidence("a", "for", 0.7).conditions
    assert Finding("a", conditions).probability == 0.3
    assert Finding("a", conditions, probed=0.9).probability == 0.9


# --- a wider network that is the same function -----------------------------------------------------------

WIDENED = {
    "mlp": ("model=mlp", "model.width=5"),
    "mlp_deep_batch_norm": ("model=mlp", "model.width=5", "model.depth=4", "model.normalization=batch"),
    "cnn": ("model=cnn", "model.width=3", "model.dense=6"),
    "cnn_batch_norm": ("model=cnn", "model.width=3", "model.dense=6", "model.normalization=batch"),
    "rnn": ("model=rnn", "model.width=5", "model.depth=2"),
    "lstm": ("model=lstm", "model.width=5", "model.depth=2"),
    "gru": ("model=gru", "model.width=5", "model.depth=2"),
}


def network(*overrides: str, root: Any, seed: int, twice: bool = False) -> torch.nn.Module:
    settings, _ = compose(overrides, root=root)
    model = settings.model
    if twice:
        dense = {"dense": 2 * model.dense} if hasattr(model, "dense") else {}
        model = model.model_copy(update={"width": 2 * model.width, **dense})  # type: ignore[attr-defined]
    architecture = Architecture(
        model=model,
        activation=settings.activation,
        init=settings.init,
        input_shape=(1, 14, 14),
        num_classes=10,
    )
    return build_network(architecture, seed=seed).eval()


@pytest.mark.parametrize("overrides", WIDENED.values(), ids=WIDENED.keys())
def test_the_wider_network_answers_as_the_narrow_one_and_its_new_units_can_learn(
    overrides: tuple[str, ...], project: Any
) -> None:
    narrow = network(*overrides, root=project, seed=0)
    wide = network(*overrides, root=project, seed=1, twice=True)
    images = torch.randn(32, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in narrow.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
        wanted = narrow(images)
        assert not torch.allclose(wide(images), wanted, atol=1e-3)
        embed(narrow, wide, images=images)
        torch.testing.assert_close(wide(images), wanted)
    assert _new_units_that_matter(wide, images) > 0.3  # a ReLU may be silent on all of them


def _new_units_that_matter(wide: torch.nn.Module, images: torch.Tensor) -> float:
    """Share of the new inputs of the output layer whose weights one step of gradient descent moves."""
    torch.nn.functional.cross_entropy(wide(images), torch.arange(len(images)) % 10).backward()
    gradient = wide.output.weight.grad  # type: ignore[union-attr]
    assert isinstance(gradient, torch.Tensor)
    new = gradient[:, gradient.shape[1] // 2 :]
    return float((new.abs().sum(0) > 0).float().mean())


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=mlp", "model.width=5", "model.normalization=layer"),
        ("model=gru", "model.width=5", "model.bidirectional=true"),
    ],
    ids=["layer_norm", "two_directions"],
)
def test_a_network_that_cannot_be_widened_unchanged_is_refused(
    overrides: tuple[str, ...], project: Any
) -> None:
    narrow = network(*overrides, root=project, seed=0)
    wide = network(*overrides, root=project, seed=1, twice=True)
    with pytest.raises(NotWidened, match="logits change"):
        embed(narrow, wide, images=torch.rand(8, 1, 14, 14))
