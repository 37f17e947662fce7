"""The commands that train a run again with a remedy, and the one that proves remedies."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import file_label, to_prove

NUM_PROVED = 2  # the next one follows only where the first does not do


def remedy_commands(
    settings: Mapping[str, Any],
    remedies: Sequence[Remedy],
    *,
    root: Path,
    overrides: Sequence[str] | None = None,
) -> list[str]:
    """Return for each remedy the line to type: the run's own settings with it, under a new name.

    overrides: that compose to the settings; None finds them.
    """
    if not remedies:
        return []
    known = overrides_of(settings, root=root) if overrides is None else overrides
    own = [o for o in known if not o.startswith("name=")]
    return [
        shlex.join(
            [
                "pipeline",
                "train",
                f"name={settings['name']}_{file_label(remedy.name)}",
                *merge(own, remedy.overrides, root=root),
            ]
        )
        for remedy in remedies
    ]


def verify_command(run: str, offered: Sequence[Remedy]) -> str:
    """Return the line that proves the first remedies at the least cost; empty without any.

    run: ``name=wide`` or ``run=<MLflow id>``.
    """
    first = ",".join(remedy.name for remedy in to_prove(offered)[:NUM_PROVED])
    return f'pipeline verify {run} "remedies=[{first}]" stop=early' if first else ""
