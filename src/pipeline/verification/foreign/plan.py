"""The arms of a command's verification, and the draws of its random search."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.verification.foreign.template import Template

RESEED_FROM = 1000
_LOG_FROM = 10.0  # values that lie further apart than this ratio are drawn on a logarithmic scale


@dataclass(frozen=True)
class Setting:
    """An arm: its name, and the value of each placeholder but the seed."""

    name: str
    values: Mapping[str, str]


def as_it_is(template: Template) -> Setting:
    """Return the unchanged command: the first value of each placeholder."""
    return Setting("as it is", template.as_it_is)


def arms_of(template: Template) -> list[Setting]:
    """Return one arm for each further value; the other placeholders stay as they are."""
    base = template.as_it_is
    return [
        Setting(f"{name}={value}", {**base, name: value})
        for name, values in template.values.items()
        for value in values[1:]
    ]


def can_draw(template: Template) -> bool:
    """Whether random search can give other settings than the arms: numbers, or several names."""
    return len(template.values) > 1 or any(_numbers(v) for v in template.values.values())


def draws_of(template: Template, *, count: int) -> list[Setting]:
    """Draw every placeholder at random, between its smallest and its largest value.

    Words are drawn from those that were given. The same command always gives the same draws, and a
    longer list begins as a shorter one does.
    """
    generator = random.Random(0)
    return [
        Setting(
            f"control: draw {i}",
            {name: _draw(values, generator) for name, values in template.values.items()},
        )
        for i in range(count)
    ]


def _draw(values: tuple[str, ...], generator: random.Random) -> str:
    numbers = _numbers(values)
    if not numbers:
        return generator.choice(values)
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= _LOG_FROM:
        drawn = math.exp(generator.uniform(math.log(low), math.log(high)))
    else:
        drawn = generator.uniform(low, high)
    whole = all(value.lstrip("+-").isdigit() for value in values)
    return str(round(drawn)) if whole else f"{drawn:.4g}"


def _numbers(values: tuple[str, ...]) -> list[float]:
    """Return the values as numbers; empty where one of them is a word."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []
