"""``verify cmd="…"``: the part of ``verify`` that runs a command of the user's own."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline import interruption
from pipeline.commands.command import Call
from pipeline.commands.trial_options import TrialOptions
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.diagnosis.foreign_proof import ForeignProof
    from pipeline.verification.foreign.options import ForeignOptions

EXIT_CODES = {"accept": 0, "reject": 4, "undecided": 5}  # 1 and 2 are errors, 3 is a verdict
_OWN = ("run", "budget", "storage")


class CommandOptions(TrialOptions):
    """Options of ``pipeline verify``: of a run of this project, and of any command."""

    cmd: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="any command with {seed} and placeholders, instead of a run; no shell"
    )
    metric: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="of cmd: name of the number to compare, as the command writes it"
    )
    metric_file: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="of cmd: JSON, CSV, text or MLflow's mlflow.db that the command writes; "
        "without it the output, and the files in {out}",
    )
    goal: Literal["min", "max"] | None = Field(
        None, description="of cmd: without it min for a loss, an error, a perplexity, else max"
    )
    scale: Literal["ratio", "difference"] = Field(
        "ratio", description="of cmd: difference for a metric that can be 0 or less"
    )
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of cmd: most seconds of a run"
    )
    output: Literal["text", "json"] = Field("text", description="of cmd: form of the answer")


def check(options: CommandOptions) -> None:
    """Raise `ConfigError` for options that do not belong together."""
    given = options.model_fields_set
    if options.cmd is None:
        only = ("metric", "metric_file", "goal", "scale", "timeout", "output")
        wrong = next((key for key in only if key in given), None)
        if wrong:
            raise ConfigError(
                f'{wrong}: belongs to a command of your own. Add cmd="…", or leave it out.'
            )
        return
    wrong = next((key for key in _OWN if key in given), None)
    if wrong:
        raise ConfigError(f"{wrong}: has no effect with cmd=. Leave one of the two out.")
    if options.metric is None:
        raise ConfigError("metric: missing. Name the number that cmd writes, as in metric=val_loss")


def verify_any(call: Call[CommandOptions]) -> int:
    """Verify a command; print the proof, and return 0, 4 or 5."""
    from pipeline.files import to_json
    from pipeline.verification.foreign.template import template_of
    from pipeline.verification.foreign.verify import verify_command

    asked = call.options
    if call.settings:
        raise ConfigError(f"{call.settings[0]}: has no effect with cmd=. Leave it out.")
    interruption.set_hint("the same command goes on after the last finished run")
    template = template_of(asked.cmd or "", ",".join(asked.remedies))
    options = _options_of(asked, template.words)
    say = partial(print, flush=True, file=sys.stderr if asked.output == "json" else None)
    chosen = "as asked" if asked.goal else "by its name; goal= changes it"
    say(f"{options.name}: {options.metric}, goal={options.goal} ({chosen}), stop={options.stop}")
    proof = verify_command(template, options, say=say)
    if asked.output == "json":
        print(to_json(proof), end="")
    else:
        _show(proof)
    code = EXIT_CODES[proof.decision]
    if code:
        print(f"{proof.decision}: exit code {code}", file=sys.stderr, flush=True)
    return code


def _show(proof: ForeignProof) -> None:
    from pipeline.reporting.verification_text import show_command

    show_command(proof)


def _options_of(asked: CommandOptions, words: tuple[str, ...]) -> ForeignOptions:
    from pipeline.verification.anytime import MOST_PAIRS
    from pipeline.verification.foreign.options import ForeignOptions, goal_of, name_of

    assert asked.cmd is not None and asked.metric is not None
    stop = asked.stop or "early"
    most = MOST_PAIRS if stop == "early" and "seeds" not in asked.model_fields_set else asked.seeds
    jobs = asked.n_jobs or 1
    return ForeignOptions(
        name=asked.name or name_of(words),
        command=asked.cmd,
        metric=asked.metric,
        goal=asked.goal or goal_of(asked.metric),
        stop=stop,
        seeds=most,
        metric_file=asked.metric_file,
        scale=asked.scale,
        timeout_s=asked.timeout,
        n_jobs=(os.cpu_count() or 1) if jobs < 0 else jobs,
    )
