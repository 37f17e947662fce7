"""Hydra's override grammar, read as a search space.

Hydra's meaning is kept: the stop of a ``range`` is excluded, ``interval`` is continuous unless it
is ``int(…)`` or tagged ``int``, the last of several discrete sweeps varies fastest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from pipeline.config.overrides import value_text
from pipeline.errors import SpaceError
from pipeline.sweep.space import Parameter, Space

TAGS = {"log", "int"}
MOST_VALUES = 100_000

Condition = Mapping[str, tuple[str, ...]]


def parse_space(
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    config_loader: Any = None,
) -> Space:
    """Return the space of a preset's ``params`` and a command line's overrides, which win.

    choices: group → its chosen option, for conditions on a group that is not swept.
    config_loader: Hydra's, which ``glob(…)`` needs.
    Raises `SpaceError` for a sweep without meaning: empty, log over zero, a condition on a later
    key.
    """
    lines = [f"{key}={value_text(value)}" for key, value in (params or {}).items()]
    parser = OverridesParser.create(config_loader=config_loader)
    # A later override replaces an earlier one, and keeps its place.
    by_key: dict[str, Override] = {}
    for line in [*lines, *arguments]:
        override = _parse_line(parser, line)
        by_key[override.key_or_group] = override

    swept = [o for o in by_key.values() if o.is_sweep_override()]
    fixed = [o for o in by_key.values() if not o.is_sweep_override()]
    chosen = {str(key): str(option) for key, option in (choices or {}).items()}
    chosen |= {o.key_or_group: o.get_value_element_as_str() for o in fixed if not o.is_delete()}
    by_condition = _conditions(conditions or {}, [o.key_or_group for o in swept])
    parameters = tuple(_parameter(o, by_condition.get(o.key_or_group, {})) for o in swept)
    return Space(parameters, tuple(o.input_line or "" for o in fixed), chosen)


def _parse_line(parser: OverridesParser, line: str) -> Override:
    try:
        (override,) = parser.parse_overrides([line])
    except HydraException as error:
        raise SpaceError(f"{line}: {_parser_message(str(error))}") from error
    return override


def _parser_message(message: str) -> str:
    """Return the parser's message without the override that it repeats and its manual's address."""
    lines = [text.strip() for text in message.splitlines()]
    noise = ("Error parsing override", "See https://")
    kept = [text for text in lines if text and not text.startswith(noise)]
    text = " ".join(kept) or " ".join(lines)
    if "NoneType is incompatible" in text:
        return "choice(…) takes no null. Write the values without it: key=null,1,2"
    if "empty choice" in text:
        return "is an empty choice. Give it at least one value."
    return f"{text}. docs/sweeps.md shows the grammar."


def _conditions(given: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Condition]:
    """Return the condition of each parameter. keys: the swept ones, in their order."""
    return {str(key): _condition(str(key), value, keys) for key, value in given.items()}


def _condition(key: str, given: Any, keys: Sequence[str]) -> Condition:
    if not isinstance(given, Mapping):
        raise SpaceError(
            f"conditions.{key}={given}: must map another key to the values under which "
            f"{key} exists, for example {{optimizer: [momentum, nesterov]}}"
        )
    condition = {}
    for other, values in given.items():
        if key in keys and other in keys and keys.index(other) >= keys.index(key):
            raise SpaceError(f"conditions.{key}: {other} must stand before {key} in params.")
        listed = values if isinstance(values, list | tuple) else [values]
        condition[str(other)] = tuple(value_text(value) for value in listed)
    return condition


def _parameter(override: Override, condition: Condition) -> Parameter:
    key, sweep = override.get_key_element(), override._value
    tags = {str(tag) for tag in getattr(sweep, "tags", ())}
    if tags - TAGS:
        raise SpaceError(
            f"{override.input_line}: unknown tag {min(tags - TAGS)}. Tags are log and int, "
            "for example tag(log,interval(1e-4,1e-1))"
        )
    if isinstance(sweep, IntervalSweep):
        return Parameter(key, _interval(override, sweep, tags), condition=condition)

    shuffled = isinstance(sweep, ChoiceSweep | RangeSweep) and sweep.shuffle
    if isinstance(sweep, ChoiceSweep | RangeSweep):
        sweep.shuffle = False  # Hydra draws another order each time that the line is read
    listed = _listed_values(override)
    texts = tuple(Override._get_value_element_as_str(value) for value in listed)
    values = tuple(map(_plain, listed, texts))
    numeric = None
    if isinstance(sweep, RangeSweep):
        typed = _as_typed(values, step=sweep.step)
        numeric = _evenly_spaced(override, typed, step=abs(sweep.step), log="log" in tags)
        values = typed if numeric else values
    if shuffled:
        order = _shuffled_order(override, len(values))
        values, texts = (tuple(each[i] for i in order) for each in (values, texts))
    if numeric:
        return Parameter(key, numeric, values, texts, condition)
    if _equal_in_python(values):
        values = texts
    return Parameter(key, CategoricalDistribution(values), values, texts, condition)


def _shuffled_order(override: Override, count: int) -> list[int]:
    """Return a random order that the line alone decides, so that a sweep can go on in it."""
    order = list(range(count))
    random.Random(override.input_line).shuffle(order)
    return order


def _listed_values(override: Override) -> list[Any]:
    """Return the values of a discrete sweep; raise `SpaceError` for none, too many, or a repeat."""
    if isinstance(override._value, RangeSweep) and override._value.step == 0:
        raise SpaceError(f"{override.input_line}: has a step of 0. Give it another one.")
    values: list[Any] = []
    for value in override.sweep_iterator():
        if isinstance(value, QuotedString) and _is_plain_word(value.text):
            value = value.text
        values.append(value)
        if len(values) > MOST_VALUES:
            raise SpaceError(
                f"{override.input_line}: lists more than {MOST_VALUES:,} values. Use interval(…)."
            )
    if not values:
        raise SpaceError(f"{override.input_line}: is an empty choice. Give it at least one value.")

    seen = set()
    for text in map(Override._get_value_element_as_str, values):
        if text in seen:
            raise SpaceError(f"{override.input_line}: names {text} twice. Leave one out.")
        seen.add(text)
    return values


def _is_plain_word(text: str) -> bool:
    """Return whether a text means the same without quotes."""
    return text.isidentifier() and text.lower() not in ("true", "false", "null", "nan", "inf")


def _plain(value: Any, text: str) -> Any:
    """Return a value that Optuna can store: a list, dictionary or quoted string as its text."""
    storable = value is None or isinstance(value, bool | int | float | str)
    return value if storable else text


def _equal_in_python(values: Sequence[Any]) -> bool:
    """Return whether two values are equal in Python though not in YAML, such as 1 and true."""
    return len(set(values)) < len(values)


def _interval(override: Override, sweep: IntervalSweep, tags: set[str]) -> BaseDistribution:
    assert sweep.start is not None and sweep.end is not None
    low, high = sorted((sweep.start, sweep.end))  # a descending interval means the same
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SpaceError(f"{override.input_line}: the ends of an interval must be finite.")
    log = "log" in tags
    if log and low <= 0:
        raise SpaceError(
            f"{override.input_line}: a logarithmic interval must begin above 0. "
            "Raise its lower end, for example to 1e-6, or leave the tag log out."
        )
    if "int" in tags or (isinstance(low, int) and isinstance(high, int)):
        if math.ceil(low) > math.floor(high):
            raise SpaceError(
                f"{override.input_line}: no whole number lies between {low:g} and {high:g}. Move "
                "an end, or leave the tag int out."
            )
        return IntDistribution(math.ceil(low), math.floor(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _as_typed(values: Sequence[Any], *, step: float) -> tuple[Any, ...]:
    """Return the values of a range as its decimals give them: 0.9 for 3 * 0.3.

    Hydra adds up the steps in floating point. Of a last value that the sum misses by its rounding,
    Optuna would say that it is no step, and never try it.
    """
    if all(isinstance(value, int) for value in values):
        return tuple(values)
    first = Decimal(str(values[0]))
    return tuple(float(first + place * Decimal(str(step))) for place in range(len(values)))


def _evenly_spaced(
    override: Override, values: Sequence[Any], *, step: float, log: bool
) -> BaseDistribution | None:
    """Return the numeric distribution of a range; None where Optuna has none for it."""
    if log and min(values) <= 0:
        raise SpaceError(f"{override.input_line}: a logarithmic range must stay above 0.")
    ordered = sorted(values)
    integer = all(isinstance(value, int) for value in ordered)
    gap = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    if log and not (integer and gap == 1):
        return None
    if integer:
        return IntDistribution(ordered[0], ordered[-1], step=gap, log=log)
    return FloatDistribution(ordered[0], ordered[-1], step=step)
