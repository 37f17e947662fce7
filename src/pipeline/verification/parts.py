"""The parts of a verification: its arms, and the two controls."""

from __future__ import annotations

from collections.abc import Sequence

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
    if part == RANDOM:
        return "control: random search"
    return "as it was" if arm == AS_IT_WAS.name else arm


def shown_runs(part: str, arms: Sequence[str], seeds: Sequence[int]) -> str:
    """Return the name of several runs for people: ``as it was, dropout, seeds 0 to 4``."""
    kind = kind_of(part)
    if kind == SEARCH and len(arms) > 1:
        names = [f"control: {len(arms)} draws"]
    else:
        names = [shown_arm(kind, arm) for arm in arms]
    return ", ".join([*names, _shown_seeds(sorted(seeds))])


def _shown_seeds(seeds: Sequence[int]) -> str:
    """Return sorted seeds for people."""
    first, last = seeds[0], seeds[-1]
    if first == last:
        return f"seed {first}"
    without_gap = last - first == len(seeds) - 1
    return f"seeds {first} to {last}" if without_gap else f"seeds {' '.join(map(str, seeds))}"
