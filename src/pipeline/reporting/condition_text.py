"""One condition of a rule as people read it: its number, the limit, and how sure the number is."""

from __future__ import annotations

import math

from pipeline.diagnosis.record import SHARE, Condition


def amount(value: float, unit: str, digits: int = 3) -> str:
    """Return ``0.0116×``, or a share as ``1.16 %``, with so many digits."""
    if not math.isfinite(value):
        return "not finite"
    return f"{100 * value:.{digits}g} %" if unit == SHARE else f"{value:.{digits}g}{unit}"


def measured(condition: Condition) -> str:
    """Return the number of a condition, with as many digits as tell it from the limit."""
    return amount(condition.value, condition.unit, _digits(condition))


def bounds(condition: Condition) -> str:
    """Return ``above 5 % counts; 95 % interval 4 % to 12 %; epochs 3-12``."""
    c, digits = condition, _digits(condition)
    parts = [f"{c.wanted} {amount(c.limit, c.unit)} counts"]
    if c.low != c.high and math.isfinite(c.value):
        low, high = (amount(end, c.unit, digits) for end in (c.low, c.high))
        parts.append(f"95 % interval {low} to {high}")
    if c.epochs is not None:
        first, last = c.epochs
        parts.append(f"epoch {first}" if first == last else f"epochs {first}-{last}")
    return "; ".join(parts)


def _digits(c: Condition) -> int:
    """As many digits as tell the value from its limit: three, and six at most."""
    if c.value == c.limit:
        return 3
    telling = (d for d in range(3, 6) if amount(c.value, c.unit, d) != amount(c.limit, c.unit))
    return next(telling, 6)
