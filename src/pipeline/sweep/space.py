"""Hydra's override grammar as a search space: what each sweep means, and back to overrides.

Hydra's meaning is kept: the stop of a ``range`` is excluded, ``interval`` is continuous unless it is
``int(…)`` or tagged ``int``, the last of several discrete sweeps varies fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from pipeline.errors import SpaceError

TAGS = {"log", "int"}
MOST_VALUES = 100_000


@dataclass(frozen=True)
class Parameter:
    """One swept key.

    key: as in an override, with ``+`` where it adds.  values, texts: what a discrete sweep lists,
    in Hydra's order, and each value as the text of an override; None for an interval.
    condition: other key → texts under one of which this parameter exists; empty: always.
    """

    key: str
    distribution: BaseDistribution
    values: tuple[Any, ...] | None = None
    texts: tuple[str, ...] = ()
    condition: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def suggest(self, trial: Any) -> Any:
        """Ask an Optuna trial for a value."""
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return trial.suggest_categorical(self.key, d.choices)
        if isinstance(d, IntDistribution):
            return trial.suggest_int(self.key, d.low, d.high, step=d.step, log=d.log)
        assert isinstance(d, FloatDistribution)
        return trial.suggest_float(self.key, d.low, d.high, step=d.step, log=d.log)

    def text(self, value: Any) -> str:
        """Return a value as the right side of an override."""
        if self.values is None:
            return repr(value)
        if isinstance(self.distribution, CategoricalDistribution):
            return self.texts[self.distribution.choices.index(value)]
        values = self.values
        # A step added up by floating point is put back onto the value that Hydra lists.
        return self.texts[min(range(len(values)), key=lambda i: abs(values[i] - value))]

    def ends(self) -> tuple[str, ...]:
        """Texts that show whether the parameter's values are accepted: all listed, or both ends."""
        if self.values is not None:
            return self.texts
        d = self.distribution
        assert isinstance(d, FloatDistribution | IntDistribution)
        return (repr(d.low), repr(d.high))


@dataclass(frozen=True)
class Space:
    """All swept parameters in their order, the fixed overrides, and what else is known of the run.

    chosen: group or key → text that holds where a condition asks about something that is not swept.
    """

    parameters: tuple[Parameter, ...]
    fixed: tuple[str, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask an Optuna trial for a value of every parameter that exists, in order."""
        found: dict[str, Any] = {}
        for parameter in self.parameters:
            if self._exists(parameter, found):
                found[parameter.key] = parameter.suggest(trial)
        return found

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the whole list of overrides for one point."""
        known = {p.key: p for p in self.parameters}
        swept = [f"{k}={known[k].text(v) if k in known else plain_text(v)}" for k, v in params.items()]
        return [*self.fixed, *swept]

    @property
    def size(self) -> int | None:
        """How many points there are; None where a parameter is continuous."""
        if any(p.values is None for p in self.parameters):
            return None
        if not any(p.condition for p in self.parameters):
            return math.prod(len(p.values or ()) for p in self.parameters)
        return sum(1 for _ in self.points())

    def points(self) -> Iterator[dict[str, Any]]:
        """All points of a discrete space, in the order of Hydra's own sweeper."""

        def walk(index: int, found: dict[str, Any]) -> Iterator[dict[str, Any]]:
            if index == len(self.parameters):
                yield found
                return
            parameter = self.parameters[index]
            if not self._exists(parameter, found):
                yield from walk(index + 1, found)
                return
            assert parameter.values is not None
            for value in parameter.values:
                yield from walk(index + 1, {**found, parameter.key: value})

        return walk(0, {})

    def probes(self, most: int = 30) -> Iterator[list[str]]:
        """Overrides that try every listed value and both ends of every interval, the others at their first.

        most: how many values of one parameter are tried.
        """
        for parameter in self.parameters:
            for text in parameter.ends()[:most]:
                forced = {key: allowed[0] for key, allowed in parameter.condition.items()}
                forced[parameter.key] = text
                yield self._with(forced)

    def _with(self, forced: Mapping[str, str]) -> list[str]:
        known: dict[str, str] = {}
        for p in self.parameters:
            if all({**self.chosen, **known}.get(k) in v for k, v in p.condition.items()):
                known[p.key] = forced.get(p.key, p.ends()[0])
        return [*self.fixed, *(f"{key}={text}" for key, text in known.items())]

    def signature(self) -> dict[str, Any]:
        """Return what makes two spaces the same, as JSON values."""
        parameters = {
            p.key: [distribution_to_json(p.distribution), {k: list(v) for k, v in p.condition.items()}]
            for p in self.parameters
        }
        return {"parameters": parameters, "fixed": sorted(self.fixed)}

    def _exists(self, parameter: Parameter, found: Mapping[str, Any]) -> bool:
        known = {p.key: p for p in self.parameters}
        for key, allowed in parameter.condition.items():
            if key in known:
                if key not in found or known[key].text(found[key]) not in allowed:
                    return False
            elif self.chosen.get(key) not in allowed:
                return False
        return True


def parse_space(
    arguments: Sequence[str],
    *,
    params: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
    choices: Mapping[str, Any] | None = None,
    config_loader: Any = None,
) -> Space:
    """Return the space of a preset's ``params`` and a command line's overrides, which win.

    Raises `SpaceError` for a sweep without meaning: empty, log over zero, a condition on a later key.
    """
    lines = [f"{key}={plain_text(value)}" for key, value in (params or {}).items()]
    parser, parsed = OverridesParser.create(config_loader=config_loader), []
    for line in [*lines, *arguments]:
        try:
            parsed += parser.parse_overrides([line])
        except HydraException as error:
            raise SpaceError(f"{line}: {_complaint(str(error))}") from error
    last: dict[str, Override] = {}
    for override in parsed:
        last[override.key_or_group] = override  # keeps the place of the first, the value of the last
    swept = [o for o in last.values() if o.is_sweep_override()]
    fixed = [o for o in last.values() if not o.is_sweep_override()]
    chosen = {str(k): str(v) for k, v in (choices or {}).items()}
    chosen |= {o.key_or_group: o.get_value_element_as_str() for o in fixed if not o.is_delete()}
    asked = _conditions(conditions or {}, [o.key_or_group for o in swept])
    parameters = tuple(_parameter(o, asked.get(o.key_or_group, {})) for o in swept)
    return Space(parameters, tuple(o.input_line or "" for o in fixed), chosen)


def _complaint(told: str) -> str:
    """What Hydra's parser says, without the line that it repeats and the address of its manual."""
    lines = [text.strip() for text in told.splitlines()]
    kept = [t for t in lines if t and not t.startswith(("Error parsing override", "See https://"))]
    text = " ".join(kept) or " ".join(lines)
    if "NoneType is incompatible" in text:
        return "choice(…) takes no null. Write the values without it: key=null,1,2"
    if "empty choice" in text:
        return "is an empty choice. Give it at least one value."
    return f"{text}. docs/sweeps.md shows the grammar."


def _conditions(given: Mapping[str, Any], keys: Sequence[str]) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for key, condition in given.items():
        if not isinstance(condition, Mapping):
            raise SpaceError(
                f"conditions.{key}={condition}: must map another key to the values under which {key} exists, "
                "for example {optimizer: [momentum, nesterov]}"
            )
        for other in condition:
            if key in keys and other in keys and keys.index(other) >= keys.index(key):
                raise SpaceError(f"conditions.{key}: {other} must stand before {key} in params.")
        found[key] = {
            str(other): tuple(
                plain_text(v) for v in (values if isinstance(values, list | tuple) else [values])
            )
            for other, values in condition.items()
        }
    return found


def _parameter(override: Override, condition: Mapping[str, tuple[str, ...]]) -> Parameter:
    key, sweep = override.get_key_element(), override._value
    tags = {str(tag) for tag in getattr(sweep, "tags", ())}
    if tags - TAGS:
        raise SpaceError(
            f"{override.input_line}: unknown tag {sorted(tags - TAGS)[0]}. Tags are log and int, "
            "for example tag(log,interval(1e-4,1e-1))"
        )
    if isinstance(sweep, IntervalSweep):
        return Parameter(key, _interval(override, sweep, tags), condition=condition)
    values = _values(override)
    texts = tuple(Override._get_value_element_as_str(v) for v in values)
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise SpaceError(f"{override.input_line}: names {twice} twice. Leave one out.")
    plain = tuple(
        v if isinstance(v, bool | int | float | str) or v is None else t
        for v, t in zip(values, texts, strict=True)
    )
    distribution = _regular(override, plain, log="log" in tags) if isinstance(sweep, RangeSweep) else None
    if distribution is None:
        alike = len({(v if not isinstance(v, bool) else int(v)) for v in plain}) < len(
            plain
        )  # 1 == True == 1.0
        plain = texts if alike else plain
        distribution = CategoricalDistribution(plain)
    return Parameter(key, distribution, plain, texts, condition)


def _values(override: Override) -> list[Any]:
    values: list[Any] = []
    for value in override.sweep_iterator():
        values.append(value.text if isinstance(value, QuotedString) and value.text.isidentifier() else value)
        if len(values) > MOST_VALUES:
            raise SpaceError(
                f"{override.input_line}: lists more than {MOST_VALUES:,} values. Use interval(…)."
            )
    if not values:
        raise SpaceError(f"{override.input_line}: is an empty choice. Give it at least one value.")
    return values


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
        return IntDistribution(math.ceil(low), math.floor(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _regular(override: Override, values: Sequence[Any], *, log: bool) -> BaseDistribution | None:
    """The numeric distribution of an evenly spaced list; None where Optuna has none for it."""
    if log and min(values) <= 0:
        raise SpaceError(f"{override.input_line}: a logarithmic range must stay above 0.")
    ordered = sorted(values)
    whole = all(isinstance(v, int) for v in ordered)
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    if log and not (whole and step == 1):
        return None
    if whole:
        return IntDistribution(ordered[0], ordered[-1], step=step, log=log)
    return FloatDistribution(ordered[0], ordered[-1], step=step)


def plain_text(value: Any) -> str:
    """Return a plain value as the right side of an override; a string is taken as written."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ",".join(plain_text(v) for v in value) + "]"
    return str(value)
