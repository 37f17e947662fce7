"""Overrides that give a run's values again, and how a remedy's overrides are merged into them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from pipeline.config import compose
from pipeline.config.overrides import merge, override_text, overrides_of

ROOT = Path(__file__).parents[2]
BASES = {
    "mlp": ["optimizer.learning_rate=3e-3"],
    "sigmoid": ["activation=sigmoid", "init=xavier", "model.depth=8", "optimizer=sgd"],
    "cnn": [
        "model=cnn",
        "augment=shift",
        "augment.max_pixels=1",
        "model.dropout=0.9",
        "penalty.l2=0.1",
    ],
    "rnn": ["model=rnn", "init=normal", "init.std=0.02", "model.width=48", "data.fraction=0.5"],
    "lstm": ["model=lstm", "init=default", "trainer.keep=best", "loss=label_smoothing"],
    "noisy": ["init=zeros", "data.label_noise=0.3", "optimizer=adamw"],
    "exploding": ["init=he", "init.gain=5.0", "schedule=cosine", "experiment=tutorial_mlp"],
}


@pytest.mark.parametrize("base", BASES)
def test_overrides_of_a_run_s_values_give_the_run_s_values(base: str) -> None:
    _, values = compose(BASES[base], root=ROOT)
    own = overrides_of(values, root=ROOT)
    _, again = compose(own, root=ROOT)
    assert again == values
    assert not [o for o in own if o.startswith("experiment")]


WORDS = (
    *("cnn", "x-1.y_2", "a/b", "../größe", "größe", "a b", "it's", "", "_x", "${x}", "[a]", "a=b"),
    *("123", "1_000", "1e5", ".5", "2024-01-01", "null", "NULL", "True", "nan", "-inf", "e5"),
    *("a\\b", "a\\\\b", "a\\", "a\\\\", "a\\'b", "a\\\\'b", "\\", "'"),
)


@pytest.mark.parametrize("word", WORDS)
def test_a_text_is_read_back_as_the_same_text(word: str) -> None:
    (read,) = OverridesParser.create().parse_overrides([f"key={override_text(word)}"])
    value = read.value()
    assert (value.text if isinstance(value, QuotedString) else value) == word


def test_a_name_of_digits_stays_a_name() -> None:
    _, values = compose(["name='123'", "tracking.experiment='456'"], root=ROOT)
    assert compose(overrides_of(values, root=ROOT), root=ROOT)[1] == values


def test_a_run_on_a_folder_of_images_is_described_by_its_overrides(tmp_path: Path) -> None:
    """``conf/data/image_folder.yaml`` alone is not whole: it lacks the path."""
    base = [
        "data=image_folder",
        f"data.path={tmp_path}",
        "schedule=step",
        "schedule.every_epochs=2",
    ]
    _, values = compose(base, root=ROOT)
    own = overrides_of(values, root=ROOT)
    assert compose(own, root=ROOT)[1] == values


def test_the_option_that_stands_in_conf_is_replaced_with_its_values() -> None:
    """``init=he`` is the default, so no override names it; its gain goes with it all the same."""
    assert merge(["init.gain=5.0"], ["init=zeros"], root=ROOT) == ["init=zeros"]
    assert merge(["init.gain=5.0"], ["init=he"], root=ROOT) == ["init=he", "init.gain=5.0"]


def test_another_option_drops_the_values_of_the_old_one_and_keeps_common_ones() -> None:
    base = [
        "model=rnn",
        "model.nonlinearity=relu",
        "model.width=48",
        "init=normal",
        "init.std=0.02",
    ]
    found = merge(base, ["model=lstm", "init=default"], root=ROOT)
    assert found == ["model=lstm", "init=default", "model.width=48"]
