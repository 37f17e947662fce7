"""Labelled histories: the lines of the input, checked. Their form stands in rivals.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivals.adapters.protocol import CURVES, FAMILIES, FAMILY_OF


class BadInput(Exception):
    """The input cannot be used; the message says which value, the rule, and the way out."""


@dataclass(frozen=True)
class Labelled:
    """One history. line: as the adapters read it, without its labels.  fault, family: the truth."""

    id: str
    line: str
    fault: str
    family: str


def read_histories(path: Path) -> list[Labelled]:
    """Read a file of JSON lines. Raises `BadInput`, with the line's number."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as text ({error}). Give JSON lines.") from error
    histories = [
        _history(text, f"{path}, line {number}")
        for number, text in enumerate(texts, start=1)
        if text.strip()
    ]
    if not histories:
        raise BadInput(f"{path}: has no history. Give one JSON object a line.")
    seen: set[str] = set()
    for history in histories:
        if history.id in seen:
            raise BadInput(
                f"{path}: the id {history.id!r} stands twice. Give each history its own."
            )
        seen.add(history.id)
    return histories


def _history(text: str, where: str) -> Labelled:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where}: is no JSON ({error}). Give one object a line.") from error
    if not isinstance(found, dict):
        raise BadInput(f"{where}: is no JSON object. Give id, curves, fault and family.")
    missing = [key for key in ("id", "curves", "fault", "family") if key not in found]
    if missing:
        raise BadInput(f"{where}: {', '.join(missing)} is missing. Give id, curves, fault, family.")
    fault, family = found["fault"], found["family"]
    if fault not in FAMILY_OF:
        raise BadInput(f"{where}: unknown fault {fault!r}. Give one of {', '.join(FAMILY_OF)}.")
    if family not in FAMILIES:
        raise BadInput(f"{where}: unknown family {family!r}. Give one of {', '.join(FAMILIES)}.")
    if (fault == "healthy") != (family == "healthy"):
        raise BadInput(f"{where}: {fault} is not of the family {family}.")
    curves = _curves(found["curves"], where)
    line = json.dumps({"id": str(found["id"]), "curves": curves})
    return Labelled(str(found["id"]), line, fault, family)


def _curves(curves: Any, where: str) -> Mapping[str, Sequence[Any]]:
    if not isinstance(curves, dict) or not any(curves.values()):
        raise BadInput(f"{where}: has no curve. Give at least one of {', '.join(CURVES)}.")
    for name, values in curves.items():
        if name not in CURVES:
            raise BadInput(f"{where}: unknown curve {name!r}. Give {', '.join(CURVES)}.")
        if not isinstance(values, list):
            raise BadInput(f"{where}: {name} is no list. Give one number an epoch, or null.")
        wrong = next((value for value in values if not _is_number(value)), None)
        if wrong is not None:
            raise BadInput(
                f'{where}: {name} holds {wrong!r}. Give numbers, null, "nan", "inf" or "-inf".'
            )
    return curves


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value in ("nan", "inf", "-inf")
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
