"""Thousands of random settings: each is taken or refused in one message, and none wrongly taken.

``PIPELINE_FUZZ_EXAMPLES=10000`` tries more than the usual number.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import make_project
from fuzzed_settings import RULES
from pipeline.config import compose
from pipeline.config.overrides import override_text
from pipeline.errors import ConfigError

EXAMPLES = int(os.environ.get("PIPELINE_FUZZ_EXAMPLES", "60"))
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


# Letters, and signs that mean something in YAML, in a shell, or in Hydra's grammar.
TEXT = st.text(st.sampled_from("abzé漢 .,:;=+-~*?!'\"\\/()[]{}$@%#&|<>\t\n0123456789"), max_size=30)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10)
    | st.integers()
    | st.floats()
    | st.floats(0, 1)
    | st.sampled_from(["none", "batch", "layer", "mlp", "auto", "x"])
)
NESTED = st.recursive(
    PLAIN | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.sampled_from([*RULES, "model", "data", "hydra", "hydra.job", "defaults", "name"])


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("fuzzed"))


def taken(overrides: list[str], root: Path) -> bool:
    """Whether the settings compose; any error but `ConfigError` fails the test."""
    try:
        compose(overrides, root=root)
    except ConfigError as error:
        assert 0 < len(str(error)) < 5000
        return False
    return True


@FUZZED
@given(key=st.sampled_from(sorted(RULES)), value=PLAIN)
@example(key="model.width", value=True)
@example(key="model.dropout", value=math.nan)
@example(key="seed", value=2**32)
@example(key="seed", value=10**5000)
def test_a_value_is_taken_exactly_where_its_rule_says_so(key: str, value: Any, root: Path) -> None:
    text = str(value) if isinstance(value, int) and abs(value) < 10**4000 else None
    if text is None:
        text = "9" * 5000 if isinstance(value, int) else override_text(value)
    text = str(value).lower() if isinstance(value, bool) else text
    # Depth 0 beside the width's default is no mistake: the width was not set here.
    assert taken([f"{key}={text}"], root) == RULES[key](value)


@FUZZED
@given(words=st.lists(st.tuples(SECTIONS | TEXT, TEXT), min_size=1, max_size=3))
@example(words=[("model", "")])
@example(words=[("~model", "")])
@example(words=[("++model", "{")])
@example(words=[("name", "${")])
@example(words=[("name", "${a.${b}}")])
@example(words=[("name", "\\")])
@example(words=[("hydra", "null")])
@example(words=[("hydra.job", "3")])
@example(words=[("hydra.sweeper", "x")])
@example(words=[("hydra/launcher", "x")])
@example(words=[("defaults", "[x]")])
@example(words=[("data@model", "mnist")])
@example(words=[("experiment", "../config")])
@example(words=[("experiment", "\x00")])
@example(words=[("allow_targets", "null")])
@example(words=[("+augment.steps", "[1]")])
def test_random_words_are_taken_or_refused(words: list[tuple[str, str]], root: Path) -> None:
    taken([f"{key}={value}" for key, value in words], root)


@FUZZED
@given(
    content=st.dictionaries(SECTIONS.map(lambda k: k.partition(".")[0]) | TEXT, NESTED, max_size=4)
)
@example(content={"hydra": None})
@example(content={"hydra": {"job": None, "sweeper": 3, "searchpath": "x", "job_logging": [1]}})
@example(content={"hydra": {"sweeper": {"listener": 3, "custom_search_space": {"a": 1}}}})
@example(content={"defaults": 3})
@example(content={"defaults": [3]})
@example(content={"defaults": [{"model": {"a": 1}}]})
@example(content={"defaults": [None]})
@example(content={"defaults": ["_self_", "_self_"]})
@example(content={"allow_targets": {"a": 1}})
@example(content={"augment": {"_target_": "pipeline.data.augment.Compose", "steps": [None]}})
@example(content={"model": {"_target_": 3}})
@example(content={"model": {1: 2, None: 3, 1.5: 4}})
@example(content={"name": "???"})
def test_a_random_file_is_taken_or_refused(content: dict[str, Any], root: Path) -> None:
    path = root / "conf" / "experiment" / "fuzzed.yaml"
    path.write_text("# @package _global_\n" + yaml.safe_dump(content, allow_unicode=True))
    taken(["experiment=fuzzed"], root)


@FUZZED
@given(content=st.binary(max_size=200) | TEXT.map(str.encode))
@example(content=b"a: 1\xff")
@example(content=b"defaults:\n  - override /network: x\n# @package _global_\n")
@example(content=b"defaults:\n  - override /optimizer: sgd\n")
@example(content=b"\xef\xbb\xbfseed: 1")
@example(content=b"a: 1:30:99999999999999999999999")
@example(content=b"a: 2001-99-99")
@example(content=b"? [a]\n: b")
@example(content=b"%YAML 9.9\n---\na: 1")
@example(content=b"seed: " + b"9" * 5000)
def test_random_bytes_are_taken_or_refused(content: bytes, root: Path) -> None:
    (root / "conf" / "experiment" / "fuzzed.yaml").write_bytes(content)
    taken(["experiment=fuzzed"], root)
