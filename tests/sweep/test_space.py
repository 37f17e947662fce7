"""The override grammar as a search space, against Hydra's sweeper and Optuna's distributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.config import config_loader
from pipeline.errors import SpaceError
from pipeline.sweep.grammar import parse_space

DISCRETE = {
    "list": ["a=1,2,3"],
    "choice": ["a=choice(x,y)", "b=choice(1,2.5)"],
    "null": ["a=null,1"],
    "booleans_and_numbers": ["a=true,1,false"],
    "quoted": ["a='x y','z, w'"],
    "quoted_words_of_yaml": ["a='true',\"null\",'nan',false"],
    "nested_lists": ["a=[1,2],[3,[4,5]]"],
    "dictionaries": ["a={b:1},{b:2,c:[3]}"],
    "range": ["a=range(1,4)"],
    "range_with_a_step": ["a=range(1,10,3)"],
    "range_of_fractions": ["a=range(0,1,0.25)"],
    "range_of_tenths": ["a=range(0.1,0.8,0.1)"],
    "range_of_tenths_downwards": ["a=range(1,0,-0.1)"],
    "descending_range": ["a=range(5,1,-2)"],
    "one_number": ["a=range(1,2)"],
    "sorted": ["a=sort(3,1,2)"],
    "reversed": ["a=sort(3,1,2,reverse=true)"],
    "cast_to_float": ["a=float(range(1,3))"],
    "cast_to_text": ["a=str(1,2)"],
    "the_last_varies_fastest": ["a=1,2", "b=3,4", "c=5,6"],
    "beside_fixed_ones": ["x=7", "a=1,2", "y=null"],
    "adding": ["+a=1,2"],
    "deleting": ["~x", "a=1,2"],
    "tagged": ["a=tag(log,choice(1,10,100))"],
    "exponents": ["a=1e-3,1E-4,0.00001"],
}


@pytest.mark.parametrize("line", [pytest.param(v, id=k) for k, v in DISCRETE.items()])
def test_the_points_are_the_jobs_of_hydras_own_sweeper(line: list[str]) -> None:
    parsed = OverridesParser.create().parse_overrides(line)
    (expected,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    space = parse_space(line)
    found = [space.overrides(point) for point in space.points()]
    # Hydra writes "~x=null" where the line said "~x": the same.
    plain = [{o for o in job if not o.startswith("~")} for job in found]
    assert plain == [{o for o in job if not o.startswith("~")} for job in expected]
    assert space.size == len(expected)
    assert all("~x" in job for job in found) or "~x" not in line


INTERVALS = {
    "float": ("interval(1,5)", FloatDistribution(1.0, 5.0)),
    "descending": ("interval(5.0,1.0)", FloatDistribution(1.0, 5.0)),
    "log": ("tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
    "int": ("int(interval(1,5))", IntDistribution(1, 5)),
    "log_int": ("tag(log,int,interval(1,64))", IntDistribution(1, 64, log=True)),
    "log_of_an_int": ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
    "range": ("range(1,10,3)", IntDistribution(1, 7, step=3)),
    "range_of_fractions": ("range(0,1,0.25)", FloatDistribution(0, 0.75, step=0.25)),
    "descending_range": ("range(5,1,-2)", IntDistribution(3, 5, step=2)),
    "log_range": ("tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
    "choice": ("choice(1,2.5,x)", CategoricalDistribution((1, 2.5, "x"))),
    "equal_in_python": ("true,1", CategoricalDistribution(("True", "1"))),
}


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*v, id=k) for k, v in INTERVALS.items()]
)
def test_each_sweep_has_its_distribution(text: str, expected: Any) -> None:
    (parameter,) = parse_space([f"a={text}"]).parameters
    assert parameter.distribution == expected


@pytest.mark.parametrize(
    "line",
    [
        "a=range(0.1,0.8,0.1)",
        # Their sums of steps end at 0.8999999999999999, 1.9000000000000008, 0.09999999999999995.
        "a=range(0,1,0.3)",
        "a=range(1,2,0.1)",
        "a=range(1,0,-0.1)",
        "a=range(1,10,3)",
        "a=1,x,null,true",
        "a=[1,2],[3]",
    ],
)
def test_what_a_sampler_draws_is_written_as_hydra_lists_it(line: str) -> None:
    space = parse_space([line])
    allowed = {space.overrides(p)[0] for p in space.points()}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = set()
    for _ in range(60):
        trial = study.ask()
        drawn |= set(space.overrides(space.suggest(trial)))
        study.tell(trial, 0.0)
    assert drawn == allowed


@pytest.mark.parametrize("sweep", ["range(0,1,0.25)", "range(1,9)", "range(8,0,-2)", "1,2,x,y,z"])
def test_a_shuffled_sweep_has_one_order_and_trains_what_it_records(sweep: str) -> None:
    """A sweep that goes on walks the points in the order in which it has begun."""
    plain, shuffled = parse_space([f"a={sweep}"]), parse_space([f"a=shuffle({sweep})"])
    (parameter,) = shuffled.parameters
    texts = [parameter.text(value) for value in parameter.values or ()]
    assert [yaml.safe_load(text) for text in texts] == list(parameter.values or ())
    assert sorted(texts) == sorted(plain.parameters[0].texts)
    orders = {
        tuple(parse_space([f"{key}=shuffle({sweep})"]).parameters[0].texts) for key in "abcdef"
    }
    assert len(orders) > 1
    again = [parse_space([f"a=shuffle({sweep})"]).parameters[0] for _ in range(5)]
    assert again == [parameter] * 5


BAD = {
    "empty_range": (["a=range(3,3)"], "empty choice"),
    "empty_choice": (["a=choice()"], "choice()"),
    "log_from_zero": (["a=tag(log,interval(0,1))"], "must begin above 0"),
    "log_range_from_zero": (["a=tag(log,range(0,5))"], "above 0"),
    "unknown_tag": (["a=tag(lgo,interval(1,2))"], "unknown tag lgo"),
    "twice": (["a=1,2,1"], "names 1 twice"),
    "endless": (["a=range(0,1,1e-9)"], "more than 100,000"),
    "no_step": (["a=range(1,5,0)"], "step of 0"),
    "no_whole_number": (["a=tag(int,interval(0.2,0.8))"], "no whole number lies between"),
    "not_finite": (["a=interval(0,inf)"], "finite"),
    "not_the_grammar": (["a=choice(1,"], "a=choice(1,"),
}


@pytest.mark.parametrize(("line", "word"), [pytest.param(*v, id=k) for k, v in BAD.items()])
def test_a_sweep_without_meaning_is_refused(line: list[str], word: str) -> None:
    with pytest.raises(SpaceError) as error:
        parse_space(line)
    assert word in str(error.value)


PARAMS = {"optimizer": "choice(sgd,momentum)", "optimizer.momentum": "choice(0.5,0.9)"}
CONDITION = {"optimizer.momentum": {"optimizer": "momentum"}}


def test_a_conditional_parameter_exists_under_its_condition_only() -> None:
    space = parse_space([], params=PARAMS, conditions=CONDITION)
    assert [space.overrides(p) for p in space.points()] == [
        ["optimizer=sgd"],
        ["optimizer=momentum", "optimizer.momentum=0.5"],
        ["optimizer=momentum", "optimizer.momentum=0.9"],
    ]
    assert space.size == 3


@pytest.mark.parametrize(("fixed", "count"), [("sgd", 1), ("momentum", 2)])
def test_a_condition_asks_a_fixed_override_too(fixed: str, count: int) -> None:
    space = parse_space([f"optimizer={fixed}", "seed=0"], params=PARAMS, conditions=CONDITION)
    assert space.size == count


def test_a_condition_asks_the_chosen_option_of_a_group() -> None:
    params = {"optimizer.momentum": "choice(0.5,0.9)"}
    for option, size in (("momentum", 2), ("sgd", 1)):
        choices = {"optimizer": option}
        space = parse_space([], params=params, conditions=CONDITION, choices=choices)
        assert space.size == size


def test_the_command_line_wins_over_a_preset() -> None:
    space = parse_space(["a=5", "b=7,8"], params={"a": "interval(0,1)", "b": "1,2", "c": "x,y"})
    assert [p.key for p in space.parameters] == ["b", "c"]
    assert space.fixed == ("a=5",)
    assert space.size == 4


def test_a_condition_on_a_later_parameter_is_refused() -> None:
    backwards = {"optimizer.momentum": "choice(0.5,0.9)", "optimizer": "choice(sgd,momentum)"}
    with pytest.raises(SpaceError, match="must stand before"):
        parse_space([], params=backwards, conditions=CONDITION)


def test_boundary_points_try_every_value_and_both_ends_where_the_parameter_exists() -> None:
    space = parse_space(["c=interval(0.0,0.5)"], params=PARAMS, conditions=CONDITION)
    tried = list(space.boundary_points())
    assert {o for job in tried for o in job} == {
        "optimizer=sgd", "optimizer=momentum", "optimizer.momentum=0.5", "optimizer.momentum=0.9",
        "c=0.0", "c=0.5",
    }  # fmt: skip
    for job in tried:
        assert ("optimizer=momentum" in job) == any(o.startswith("optimizer.momentum") for o in job)


def test_a_glob_lists_the_options_of_a_group() -> None:
    loader = config_loader(Path(__file__).parents[2])
    space = parse_space(["model=glob(*,exclude=[r*,*u])"], config_loader=loader)
    assert [p["model"] for p in space.points()] == ["cnn", "lstm", "mlp"]
