"""The command ``tune-rate``: which learning rate to begin with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.commands.command import Call, Command, Options
from pipeline.commands.unwritable import noted_if_read_only

if TYPE_CHECKING:
    from pipeline.runs.rates import TunedRate

PICTURE = "tune_rate.png"
_KEY = "optimizer.learning_rate"


class TuneRateOptions(Options):
    """Options of ``pipeline tune-rate``."""

    steps: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100, description="steps of the optimizer in each short run"
    )


def run(call: Call[TuneRateOptions]) -> None:
    """Try learning rates by short runs, draw them, and print a command with the best one."""
    from pipeline.config import compose
    from pipeline.reporting import rate_plot
    from pipeline.reporting.style import save_png
    from pipeline.runs.rates import tune_rate

    config = compose(call.settings, root=call.root)
    tuned = tune_rate(
        config,
        steps=call.options.steps,
        root=call.root,
        report=partial(print, flush=True),
        announce=partial(print, flush=True, file=sys.stderr),
    )
    for line in lines_of(tuned, call.settings, present=config.settings.optimizer.learning_rate):
        print(line, flush=True)  # the runs took minutes, and the disk may be full
    picture = Path("results") / config.settings.name / PICTURE
    with noted_if_read_only("the picture"):
        save_png(rate_plot.plot(tuned), call.root / picture)
        print(f"picture: {picture}")


def lines_of(tuned: TunedRate, settings: Sequence[str], *, present: float) -> list[str]:
    """Return the printed result; settings: as the person typed them."""
    found = tuned.found
    lines = []
    if found.largest_stable is not None and found.lowest_unstable is not None:
        lines.append(
            f"stable up to {found.largest_stable:.2g}; at {found.lowest_unstable:.2g} "
            f"{tuned.steps} steps no longer lower the loss"
        )
    others = (s for s in settings if s.partition("=")[0].lstrip("+") != _KEY)
    kept = [shlex.quote(setting) for setting in others]
    command = " ".join(["pipeline train", *kept, f"{_KEY}={tuned.rate:g}"])
    return [*lines, f"the settings have {present:g}; suggested:", command]


COMMAND = Command(
    options=TuneRateOptions,
    run=run,
    settings="training",
    examples=(
        "pipeline tune-rate experiment=tutorial_cnn",
        "pipeline tune-rate model=mlp optimizer=sgd steps=200",
    ),
)
