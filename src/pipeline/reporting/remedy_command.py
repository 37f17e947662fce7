"""The commands that train a run again, each with a remedy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.config.overrides import merge, overrides_of
from pipeline.diagnosis.record import Remedy
from pipeline.diagnosis.remedies import file_label


def remedy_commands(
    settings: Mapping[str, Any], remedies: Sequence[Remedy], *, root: Path
) -> list[str]:
    """Return for each remedy the line to type: the run's own settings with it, under a new name."""
    if not remedies:
        return []
    own = [o for o in overrides_of(settings, root=root) if not o.startswith("name=")]
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
