"""``verify cmd="…"``: the part of ``verify`` that runs a command of the user's own."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from pipeline import interruption
from pipeline.commands.command import Call
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.commands.verify import VerifyOptions
    from pipeline.diagnosis.foreign_proof import ForeignProof
    from pipeline.verification.foreign.options import ForeignOptions

EXIT_CODES = {"accept": 0, "reject": 4, "undecided": 5}  # 1 and 2 are errors, 3 is a verdict


def verify_any(call: Call[VerifyOptions]) -> int:
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


def _options_of(asked: VerifyOptions, words: tuple[str, ...]) -> ForeignOptions:
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
