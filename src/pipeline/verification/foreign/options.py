"""What a person asks of the verification of a command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.experiment import safe_name
from pipeline.diagnosis.foreign_proof import RATIO
from pipeline.errors import ConfigError
from pipeline.verification.foreign.template import OUT, SEED, Template, placeholders

_LESS_IS_BETTER = re.compile(
    r"loss|error|perplexity|entropy|(^|[^a-z])(mse|rmse|mae|nll|ppl|wer|cer|fid)([^a-z]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ForeignOptions:
    """The wishes of a person.

    name: its results lie in ``results/verify_<name>/``.  goal: min or max.  seeds: how many pairs;
    for ``early`` at most.  timeout_s: of each run.  n_jobs: runs side by side.  folder: where the
    command runs.
    """

    name: str
    command: str
    metric: str
    goal: str
    stop: str
    seeds: int
    metric_file: str | None = None
    scale: str = RATIO
    timeout_s: float | None = None
    n_jobs: int = 1
    folder: Path = Path()

    @property
    def early(self) -> bool:
        """Whether pairs are added until they decide."""
        return self.stop == "early"

    @property
    def results(self) -> Path:
        """The folder of the runs and of the proof."""
        return self.folder / "results" / f"verify_{self.name}"


def goal_of(metric: str) -> str:
    """Return ``min`` for a loss, an error or a perplexity, else ``max``."""
    return "min" if _LESS_IS_BETTER.search(metric) else "max"


def name_of(words: tuple[str, ...]) -> str:
    """Return a name for a command: that of its script, else that of its program."""
    if "-m" in words[:-1]:
        return safe_name(words[words.index("-m") + 1])
    scripts = [word for word in words if word.endswith((".py", ".sh", ".jl", ".R"))]
    return safe_name(Path([*scripts, words[0]][0]).stem)


def check_metric_file(options: ForeignOptions, template: Template) -> None:
    """Raise `ConfigError` where runs side by side would write the same file."""
    if options.metric_file is None:
        return
    used = placeholders([options.metric_file])
    known = {SEED, OUT, *template.values}
    for name in used:
        if name not in known:
            raise ConfigError(
                f"metric_file={options.metric_file}: {{{name}}} is no placeholder of the command. "
                f"There is: {', '.join(sorted(known))}."
            )
    if OUT in used and not template.writes_out:
        raise ConfigError(
            f"metric_file={options.metric_file}: the command has no {{out}}, so it cannot write "
            "there. Give it the folder, for example: --output {out}"
        )
    if options.n_jobs > 1 and OUT not in used and not {SEED, *template.values} <= set(used):
        raise ConfigError(
            f"metric_file={options.metric_file}: runs side by side would write the same file. Put "
            "{out} into it and into the command, or give n_jobs=1."
        )
