"""The section of a sweep's report that shows the objective over the two settings that mattered."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.reporting import sweep_slices
from pipeline.reporting.style import png_bytes
from pipeline.reporting.sweep_html import Drawing, ReportSection
from pipeline.sweep.analysis import FinishedTrial, StudyRecord
from pipeline.sweep.seed_groups import is_seed

MOST_SETTINGS = 2


def slice_section(record: StudyRecord, keys: Sequence[str]) -> ReportSection | None:
    """Return the slices of the first settings that vary, and their contour.

    keys: the settings, the most important first.  None where no setting has enough trials.
    """
    trials = [t for t in record.complete if math.isfinite(t.values[0])]
    chosen = [key for key in keys if not is_seed(key) and _varies(key, trials)][:MOST_SETTINGS]
    if not chosen:
        return None
    objective = record.objectives[0]
    with_key = {key: [t for t in trials if key in t.params] for key in chosen}
    columns = [_column(record, key, with_key[key]) for key in chosen]
    losses = [[t.values[0] for t in with_key[key]] for key in chosen]
    drawings = [
        Drawing(
            "slices",
            "Slices",
            "Each point is a completed trial; all other settings vary too.",
            png_bytes(sweep_slices.slices(columns, losses, of=objective)),
        )
    ]
    both = [t for t in trials if all(key in t.params for key in chosen)]
    if len(chosen) == MOST_SETTINGS:
        x, y = (_column(record, key, both) for key in chosen)
        values, maximize = [t.values[0] for t in both], record.directions[0] == "maximize"
        solutions = [i for i, t in enumerate(both) if t.feasible]
        best = solutions[0] if solutions else None  # of completed trials the best comes first
        figure = sweep_slices.contour(x, y, values, of=objective, maximize=maximize, best=best)
        if figure is not None:
            caption = (
                "The darker, the better; the cross is the best trial. The surface is interpolated "
                "between the trials, which differ in their other settings too."
            )
            drawings.append(Drawing("contour", "Both together", caption, png_bytes(figure)))
    sentence = f"{objective} over the settings that mattered most: {' and '.join(chosen)}."
    return ReportSection("The landscape", (sentence,), drawings=tuple(drawings))


def _varies(key: str, trials: Sequence[FinishedTrial]) -> bool:
    values = [str(t.params[key]) for t in trials if key in t.params]
    return len(values) >= sweep_slices.LEAST_POINTS and len(set(values)) > 1


def _column(
    record: StudyRecord, key: str, trials: Sequence[FinishedTrial]
) -> tuple[str, list[object], bool]:
    return key, [t.params[key] for t in trials], key in record.log_keys
