"""How well every tool that judges training logs judges the same labelled curves; one table.

    python benchmarks/rivals.py histories.jsonl
    python benchmarks/rivals.py histories.jsonl --tools pipeline runmedic

The first row is our own diagnosis. The others are the tools on the package index that judge logs.
Each is installed, on first use, into an environment of its own below benchmarks/runs/rivals/. A
tool that cannot be had is skipped, and the reason is printed. No tool sees a label.

**Input.** JSON lines, one history each:

    {"id": "a7", "curves": {"train_loss": [2.3, 1.1], "val_loss": [2.2, null],
     "train_accuracy": [0.1, 0.6], "val_accuracy": [0.2, 0.5], "learning_rate": [0.1, 0.1]},
     "fault": "undertrained", "family": "stopped_too_early"}

A list holds one number an epoch. null means no number; NaN and infinity are the strings "nan",
"inf" and "-inf". Any curve may be absent or end early. Accuracies are shares, 0 … 1.

| family | its faults |
|---|---|
| healthy | healthy |
| fits_and_fails | overfitting, label_noise |
| stopped_too_early | undertrained |
| does_not_fit | underfitting (also over-regularized), learning_rate_too_low, |
|  | not_learning (also dead units, vanishing gradients) |
| unstable | learning_rate_too_high (also exploding gradients) |

The table reads a family from a fault where a tool names none. The truth of a history can differ: a
rate that is too high may leave a run that does not fit. A tool that names that fault is then right
about the family too.

**Reading of the verdicts.** Each adapter in benchmarks/rivals/adapters/ has a table `MEANING` from
the tool's words to the nearest label. In doubt the reading is the one that helps the tool. Where a
tool finds nothing, it says so ("no problems found"): we read that as healthy. Findings about other
things (leaks, warm-up, a noisy validation part) do not count, so they are no false alarm either. A
tool that names a family alone is right about the family and abstains from the fault. A tool that
raises an error abstains; the lines below the table say how often, and why.

**Columns.** F1 is the macro average over the labels that the input holds, with a 95 % interval from
a bootstrap that keeps the number of histories of each label. "Overfitting F1" asks for
fits_and_fails or not. The calibration error is over the verdicts that carry a confidence. The
milliseconds are the median of the judgement alone, from numbers in memory, without start and files.

The answers of each tool stay in benchmarks/runs/rivals/<tool>/verdicts.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rivals.environments import OURS, RIVALS, Tool, Unavailable, verdicts
from rivals.histories import BadInput, Labelled, read_histories
from rivals.scores import Scores, scores
from rivals.table import reasons, table

CACHE = Path(__file__).parent / "runs" / "rivals"
TOOLS = {tool.name: tool for tool in (OURS, *RIVALS)}


def judged_by(tool: Tool, histories: Sequence[Labelled], cache: Path) -> list[dict[str, Any]]:
    """Return a tool's answers and keep them. Raises `Unavailable`."""
    rows = verdicts(tool, histories, cache)
    kept = cache / tool.name / "verdicts.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    labelled = [
        {"true_fault": h.fault, "true_family": h.family, **row}
        for h, row in zip(histories, rows, strict=True)
    ]
    kept.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    return rows


def report(histories: Sequence[Labelled], tools: Sequence[Tool], cache: Path) -> str:
    """Return the table, and below it the abstentions' reasons and the tools that are missing."""
    rows: dict[str, Scores] = {}
    notes: list[str] = []
    for tool in tools:
        name = f"{tool.name} {tool.version}"
        try:
            answers = judged_by(tool, histories, cache)
        except Unavailable as error:
            notes.append(f"{name}: skipped, {error}")
            continue
        rows[name] = scores(histories, answers)
        notes.append(reasons(name, answers))
    return "\n".join([table(rows), "", *filter(None, notes)]).rstrip()


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("histories", type=Path, help="a file of JSON lines")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS), help="which")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the environments")
    options = parser.parse_args(words)
    try:
        histories = read_histories(options.histories)
    except BadInput as error:
        sys.exit(f"error: {error}")
    print(report(histories, [TOOLS[name] for name in options.tools], options.cache))


if __name__ == "__main__":
    main()
