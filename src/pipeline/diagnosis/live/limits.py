"""From which probability on a family of faults is an alarm; measured on whole sound runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Annotated

from pydantic import Field, TypeAdapter

from pipeline.diagnosis.learned import model

FILE = "limits.json"
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits, and what they were measured on; `benchmarks/curves/live.py` makes them.

    rate: the share of sound runs on new data and networks that may alarm at any time.
    runs: healthy and early stopped runs of the corpus, replayed in one log each by models that know
    neither their part nor their data.  alarms: how many of them alarm.
    weights: hash of the fitted model's weights that they hold for.
    by_family: the least probability in both of two looks.
    """

    version: int
    made_by: str
    rate: Share
    runs: int
    alarms: int
    weights: str
    by_family: Mapping[str, Share]


@cache
def measured_limits() -> Limits:
    """Return the limits that come with the package."""
    text = resources.files(__package__).joinpath(FILE).read_bytes()
    return TypeAdapter(Limits).validate_json(text)


def weights_hash() -> str:
    """Return the first 16 digits of the hash of the fitted model's weights."""
    text = resources.files(model.__package__ or "").joinpath(model.WEIGHTS).read_bytes()
    return sha256(text).hexdigest()[:16]
