"""A search space: the swept parameters, their distributions, and the way back to overrides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from pipeline.config.overrides import value_text


@dataclass(frozen=True)
class Parameter:
    """One swept key.

    key: as in an override, with ``+`` where it adds a key.
    values, texts: the values of a discrete sweep in Hydra's order, and each one as the text of an
    override. values is None for an interval.
    condition: other key → texts; the parameter exists only under one of them. Empty: always.
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
        # Optuna adds up the steps in floating point: take the nearest value that Hydra lists.
        distances = [abs(listed - value) for listed in self.values]
        return self.texts[distances.index(min(distances))]

    def boundary_texts(self) -> tuple[str, ...]:
        """Return the texts that show whether all values are valid: all listed, or both ends."""
        if self.values is not None:
            return self.texts
        d = self.distribution
        assert isinstance(d, FloatDistribution | IntDistribution)
        return (repr(d.low), repr(d.high))


@dataclass(frozen=True)
class Space:
    """All swept parameters in their order, and the fixed overrides.

    chosen: group or key → text, for conditions on something that is not swept.
    """

    parameters: tuple[Parameter, ...]
    fixed: tuple[str, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask an Optuna trial for a value of every parameter that exists, in order."""
        point: dict[str, Any] = {}
        for parameter in self.parameters:
            if self._exists(parameter, point):
                point[parameter.key] = parameter.suggest(trial)
        return point

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the whole list of overrides for one point."""
        by_key = self._by_key()
        swept = [
            f"{key}={by_key[key].text(value) if key in by_key else value_text(value)}"
            for key, value in params.items()
        ]
        return [*self.fixed, *swept]

    @property
    def size(self) -> int | None:
        """The number of points; None where a parameter is continuous."""
        counts = [len(p.values) for p in self.parameters if p.values is not None]
        if len(counts) < len(self.parameters):
            return None
        if any(p.condition for p in self.parameters):
            return sum(1 for _ in self.points())
        return math.prod(counts)

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield all points of a discrete space, in the order of Hydra's own sweeper."""

        def walk(index: int, point: dict[str, Any]) -> Iterator[dict[str, Any]]:
            if index == len(self.parameters):
                yield point
                return
            parameter = self.parameters[index]
            if not self._exists(parameter, point):
                yield from walk(index + 1, point)
                return
            assert parameter.values is not None
            for value in parameter.values:
                yield from walk(index + 1, {**point, parameter.key: value})

        return walk(0, {})

    def boundary_points(self, most: int = 30) -> Iterator[list[str]]:
        """Yield overrides that try every listed value and both ends of every interval.

        All other parameters have their first value. most: values tried of one parameter.
        """
        for parameter in self.parameters:
            for text in parameter.boundary_texts()[:most]:
                forced = {key: allowed[0] for key, allowed in parameter.condition.items()}
                yield self._first_values({**forced, parameter.key: text})

    def signature(self) -> dict[str, Any]:
        """Return JSON values that are equal for two equal spaces, and only for them."""
        parameters = {}
        for p in self.parameters:
            condition = {key: list(allowed) for key, allowed in p.condition.items()}
            parameters[p.key] = [distribution_to_json(p.distribution), condition]
        return {"parameters": parameters, "fixed": sorted(self.fixed)}

    def _first_values(self, forced: Mapping[str, str]) -> list[str]:
        """Return overrides with the forced texts, and the first one of every other parameter."""
        texts: dict[str, str] = {}
        for p in self.parameters:
            known = {**self.chosen, **texts}
            if all(known.get(key) in allowed for key, allowed in p.condition.items()):
                texts[p.key] = forced.get(p.key, p.boundary_texts()[0])
        return [*self.fixed, *(f"{key}={text}" for key, text in texts.items())]

    def _exists(self, parameter: Parameter, point: Mapping[str, Any]) -> bool:
        by_key = self._by_key() if parameter.condition else {}
        for key, allowed in parameter.condition.items():
            if key in by_key:
                text = by_key[key].text(point[key]) if key in point else None
            else:
                text = self.chosen.get(key)
            if text not in allowed:
                return False
        return True

    def _by_key(self) -> dict[str, Parameter]:
        return {p.key: p for p in self.parameters}
