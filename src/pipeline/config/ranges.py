"""The type and range of a value in words, from its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_NUMBERS = {"integer": "whole number", "number": "number"}


def range_of(schema: Mapping[str, Any]) -> str:
    """Return for example ``whole number from 1 to 16``, ``a|b|c`` or ``true|false``.

    schema: of one value, as pydantic makes it. An optional value reads ``…, or null``.
    """
    if "anyOf" in schema:
        branches = [range_of(branch) for branch in schema["anyOf"]]
        return ", or ".join(dict.fromkeys(branches))
    if "enum" in schema:
        return "|".join(_written(value) for value in schema["enum"])
    if "const" in schema:
        return _written(schema["const"])
    kind = schema.get("type")
    if kind in _NUMBERS:
        return " ".join([_NUMBERS[kind], *_bounds(schema)])
    if kind == "boolean":
        return "true|false"
    if kind == "null":
        return "null"
    if kind == "array":
        return f"[{range_of(schema.get('items', {}))}, …]"
    if schema.get("format") == "path":
        return "path"
    return "name" if "pattern" in schema else "text"


def values_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the values that can be listed, for a shell to complete."""
    if "anyOf" in schema:
        return [value for branch in schema["anyOf"] for value in values_of(branch)]
    if "enum" in schema:
        return [_written(value) for value in schema["enum"]]
    if "const" in schema:
        return [_written(schema["const"])]
    if schema.get("type") == "array":
        return values_of(schema.get("items", {}))
    return {"boolean": ["true", "false"], "null": ["null"]}.get(str(schema.get("type")), [])


def _bounds(schema: Mapping[str, Any]) -> list[str]:
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    low, high, above, below = (schema.get(bound) for bound in bounds)
    if low is not None and high is not None:
        return [f"from {low} to {high}"]
    words = []
    if low is not None:
        words.append(f"from {low}" if below is not None else f"from {low} up")
    if above is not None:
        words.append(f"above {above}")
    if high is not None:
        words.append(f"up to {high}")
    if below is not None:
        words.append(f"below {below}")
    return words


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
