"""The control of random search: its draws have effect, and the same seed gives the same draws."""

from __future__ import annotations

import pytest

from pipeline.config import compose
from pipeline.verification.random_search import random_draws
from verification_cases import ROOT


def settings(*overrides: str) -> dict[str, object]:
    return dict(compose(overrides, root=ROOT)[1])


def test_the_same_seed_gives_the_same_draws() -> None:
    first, again = (random_draws(settings(), count=3, seed=7) for _ in range(2))
    other = random_draws(settings(), count=3, seed=8)
    assert first == again and first != other
    assert [draw.name for draw in first] == ["random_0", "random_1", "random_2"]


def test_every_draw_composes_and_stays_in_its_range() -> None:
    for draw in random_draws(settings(), count=20, seed=0):
        drawn = settings(*draw.overrides)
        assert 1e-4 <= drawn["optimizer"]["learning_rate"] <= 1e-2  # type: ignore[index]
        assert 1e-6 <= drawn["penalty"]["l2"] <= 1e-3  # type: ignore[index]
        assert 0 <= drawn["model"]["dropout"] <= 0.6  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "drawn"),
    [
        ({"depth": 4}, False),
        ({"dropout": 0.1}, True),
        ({"depth": [8, 8], "dropout": 0.1}, True),
        ({"dropout": [0.1, 0.2]}, False),
    ],
)
def test_dropout_of_an_own_network_is_drawn_where_it_has_any(
    arguments: dict[str, object], drawn: bool
) -> None:
    own = {**settings(), "model": {"name": "own", "_target_": "mine.Net", **arguments}}
    (draw,) = random_draws(own, count=1, seed=0)
    assert any(o.startswith("model.dropout=") for o in draw.overrides) == drawn


@pytest.mark.parametrize(
    ("overrides", "absent"),
    [
        pytest.param(["model=gru", "model.depth=1"], "model.dropout", id="one_recurrent_layer"),
        pytest.param(["loss=mse"], "loss", id="another_loss"),
    ],
)
def test_a_setting_without_effect_is_not_drawn(overrides: list[str], absent: str) -> None:
    (draw,) = random_draws(settings(*overrides), count=1, seed=0)
    assert absent not in {override.partition("=")[0] for override in draw.overrides}
