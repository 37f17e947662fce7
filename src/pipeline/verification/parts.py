"""The parts of a verification: its arms, and the two controls."""

from __future__ import annotations

from pipeline.diagnosis.record import Remedy

ARMS, RESEED, SEARCH, RANDOM = "arms", "reseed", "search", "random"
AS_IT_WAS = Remedy("as_it_was", (), "nothing changed")


def kind_of(part: str) -> str:
    """Return the kind of a part: ``arms`` for ``arms_2``, the second step over arms."""
    return part.partition("_")[0]


def shown_arm(part: str, arm: str) -> str:
    """Return the name of an arm for people: ``control: draw 3`` for ``random_3`` of the search."""
    if part == RESEED:
        return "control: reseeded"
    if part == SEARCH:
        return f"control: draw {arm.rpartition('_')[2]}"
    return "control: random search" if part == RANDOM else arm
