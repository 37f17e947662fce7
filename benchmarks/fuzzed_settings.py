"""Thousands of random settings: each is taken or refused in one message, in little time and room.

    python benchmarks/fuzzed_settings.py [--cases 10000] [--first 0] [--minutes 60]

A case is a command line of random overrides, or one with a random or mutated experiment file. It
passes if `compose` takes it or raises `ConfigError`, within 1 s of the processor and 500 MB of
address space for the whole process. What is taken must obey `RULES` and the list of allowed
targets. A case that fails is printed with its number, and `--first NUMBER --cases 1` repeats it.
After `--minutes` it ends with the count so far. The last line is the count, and the exit code is 1
where a case failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import compose
from pipeline.config.overrides import override_text
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[1]
MAX_CPU_S = 1.0
MAX_BYTES = 500_000_000
MAX_MESSAGE = 5000
HANGS_AFTER_S = 30  # of the clock: the machine may be busy
Rule = Callable[[Any], bool]


def whole(low: int, high: float = math.inf) -> Rule:
    """Return the rule of whole numbers; True and False are none."""
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def number(fits: Callable[[float], bool]) -> Rule:
    return lambda v: (
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and fits(v)
    )


def one_of(*allowed: object) -> Rule:
    return lambda v: any(v == a and type(v) is type(a) for a in allowed)


def or_none(rule: Rule) -> Rule:
    return lambda v: v is None or rule(v)


# The rule of a setting, written down a second time: beside no other change it is accepted exactly
# where this function says so (tests/config/test_fuzz.py).
RULES: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "trainer.max_epochs": whole(1),
    "model.width": whole(1, 65536),
    "model.depth": whole(0, 200),
    "model.dropout": number(lambda v: 0 <= v < 1),
    "optimizer.learning_rate": number(lambda v: v > 0),
    "optimizer.weight_decay": number(lambda v: v >= 0),
    "data.fraction": number(lambda v: 0 < v <= 1),
    "data.label_noise": number(lambda v: 0 <= v <= 1),
    "trainer.gradient_clip_norm": or_none(number(lambda v: v > 0)),
    "tracking.tensorboard": lambda v: isinstance(v, bool),
    "model.normalization": one_of("none", "batch", "layer"),
    "penalty.l1": number(lambda v: v >= 0),
}
# Further settings; rules across settings may refuse more than these do.
MORE_RULES: dict[str, Rule] = {
    "name": lambda v: isinstance(v, str) and bool(re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", v)),
    "data.batch_size": lambda v: v == "all" or whole(1)(v),
    "data.split_seed": whole(0),
    "data.label_noise_seed": whole(0),
    "data.stream": lambda v: v == "auto" or isinstance(v, bool),
    "optimizer.eps": number(lambda v: v > 0),
    "schedule.warmup_epochs": number(lambda v: v >= 0),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "trainer.devices": lambda v: v == "auto" or whole(1)(v),
    "trainer.keep": one_of("last", "best"),
    "trainer.early_stopping_patience": or_none(whole(1)),
    "trainer.sample_size": whole(1),
    "trainer.overfit_batches": whole(0),
    "trainer.deterministic": lambda v: isinstance(v, bool),
    "trainer.num_threads": or_none(whole(1)),
    "init.gain": number(lambda v: v > 0),
    "init.bias": number(lambda v: True),
    "penalty.l2": number(lambda v: v >= 0),
    "signals.sample_size": whole(1),
}
ALL_RULES = {**RULES, **MORE_RULES}
ALLOWED_TARGETS = ("torch.nn.", "torch.optim.", "torchvision.", "pipeline.")
GROUPS = ("model", "data", "optimizer", "schedule", "augment", "loss", "init", "precision")
OPTIONS = ("mlp", "cnn", "lstm", "adam", "sgd", "cosine", "none", "affine", "mnist", "auto", "mse")
HYDRA = ("hydra", "hydra.job", "hydra.run.dir", "hydra.sweeper", "defaults", "allow_targets")
LETTERS = "abzé漢 .,:;=+-~*?!'\"\\/()[]{}$@%#&|<>\t\n0123456789"
TRICKS = (
    *(
        "${seed}",
        "${name}",
        "${oc.env:HOME}",
        "${a.${b}}",
        "???",
        "&a [*a]",
        "*a",
        "!!python/name:",
    ),
    *("os.system", "builtins.eval", "torch.nn.modules.module.os.system", "../../etc", "\x00"),
    *("[" * 300, "9" * 400, "1e999", "-.inf", ".nan", "0x1f", "1_000", "1:30", "null", "~", "{}"),
)


@dataclass(frozen=True)
class Case:
    """kind: how it was made.  overrides: of the command line.  file: of ``experiment=fuzzed``."""

    kind: str
    overrides: list[str]
    file: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """failure: why the case fails; empty where it passes."""

    taken: bool
    seconds: float
    failure: str = ""


def text(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return rng.choice(TRICKS)
    return "".join(rng.choices(LETTERS, k=rng.randrange(20)))


def value(rng: random.Random) -> Any:
    """Return a plain value, often one that some rule accepts or just refuses."""
    draws: list[Callable[[], Any]] = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.randint(-2, 12),
        lambda: rng.choice([-1, 1]) * 10 ** rng.randint(1, 30),
        lambda: rng.random(),
        lambda: rng.choice([0.0, -0.0, 1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan]),
        lambda: rng.choice(["none", "batch", "auto", "last", "best", "cpu", "all", "mlp", "x"]),
        lambda: text(rng),
    ]
    return rng.choice(draws)()


def value_for(rng: random.Random, dotted: str) -> Any:
    """Return a value for a setting: in two of three cases one that its rule allows, if found."""
    draws = [value(rng) for _ in range(20)]
    if rng.random() < 2 / 3:
        return next(filter(ALL_RULES[dotted], draws), draws[0])
    return draws[0]


def nested(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.random()
    if depth == 0 or kind < 0.6:
        return value(rng)
    if kind < 0.75:
        return [nested(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {key(rng): nested(rng, depth - 1) for _ in range(rng.randrange(4))}


def key(rng: random.Random) -> str:
    return rng.choice([*ALL_RULES, *GROUPS, *HYDRA, text(rng)])


def one_value(rng: random.Random) -> Case:
    dotted = rng.choice(list(ALL_RULES))
    return Case("one value", [f"{dotted}={override_text(value_for(rng, dotted))}"])


def several_values(rng: random.Random) -> Case:
    keys = rng.sample(list(ALL_RULES), rng.randint(2, 4))
    options = [f"{rng.choice(GROUPS)}={rng.choice(OPTIONS)}"] if rng.random() < 0.3 else []
    values = [f"{key}={override_text(value_for(rng, key))}" for key in keys]
    return Case("several values", [*options, *values])


def random_words(rng: random.Random) -> Case:
    signs = ("", "", "", "+", "++", "~")
    words = [
        f"{rng.choice(signs)}{key(rng)}{rng.choice('==@:')}{text(rng)}"
        for _ in range(rng.randint(1, 3))
    ]
    return Case("random words", words)


def random_file(rng: random.Random) -> Case:
    """An experiment of known sections with some random values, and sometimes with anything."""
    content: dict[str, Any] = {}
    for dotted in rng.sample(list(ALL_RULES), rng.randint(1, 3)):
        section, _, last = dotted.partition(".")
        if last:
            content.setdefault(section, {})[last] = value_for(rng, dotted)
        else:
            content[section] = value_for(rng, dotted)
    if rng.random() < 0.3:
        content[key(rng)] = nested(rng)
    written = yaml.safe_dump(content, allow_unicode=True)
    return Case("random file", ["experiment=fuzzed"], ("# @package _global_\n" + written).encode())


def mutated_file(rng: random.Random) -> Case:
    """One of our own experiments, with bytes, words or lines changed."""
    content = rng.choice(sorted((ROOT / "conf" / "experiment").glob("*.yaml"))).read_bytes()
    for _ in range(rng.randint(1, 3)):
        at, lines = rng.randrange(len(content) + 1), content.splitlines(keepends=True)
        content = rng.choice(
            [
                content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
                content[:at] + text(rng).encode() + content[at:],
                content[: max(at, 1)],
                _with_another_number(content, override_text(value(rng))),
                b"".join(rng.sample(lines, len(lines))),
                content + rng.choice(lines or [b""]),
            ]
        )
    return Case("mutated file", ["experiment=fuzzed"], content)


MAKERS = (one_value, several_values, random_words, random_file, mutated_file)


def _with_another_number(content: bytes, text: str) -> bytes:
    return re.sub(rb"\d[\d.]*", lambda _: text.encode(), content, count=1)


def case_of(number: int, seed: int) -> Case:
    rng = random.Random(f"{seed}:{number}")
    return MAKERS[number % len(MAKERS)](rng)


def wrongly_taken(values: Mapping[str, Any]) -> str:
    """Return the first value that no rule allows; empty where all is right."""
    for dotted, rule in ALL_RULES.items():
        node: Any = values
        for part in dotted.split("."):
            node = node.get(part, _ABSENT) if isinstance(node, Mapping) else _ABSENT
        # Another option of the group may have the key with another rule; see `_same_option`.
        if node is not _ABSENT and _same_option(dotted, values) and not rule(node):
            return f"{dotted}={node!r} was taken"
    for target in _targets(values):
        if not str(target).startswith(ALLOWED_TARGETS):
            return f"_target_={target!r} was taken"
    return ""


_ABSENT = object()


def _same_option(dotted: str, values: Mapping[str, Any]) -> bool:
    """Whether the section is of the option that the rules were written for."""
    if not dotted.startswith("model."):
        return True
    return str(values["model"].get("_target_")) == "pipeline.models.MLP"


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        for name, inner in node.items():
            if name == "_target_":
                yield inner
            else:
                yield from _targets(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _targets(inner)


def tried(case: Case, root: Path) -> Outcome:
    """Compose a case."""
    if case.file is not None:
        (root / "conf" / "experiment" / "fuzzed.yaml").write_bytes(case.file)
    began = time.process_time()
    taken, failure = False, ""
    signal.alarm(HANGS_AFTER_S)
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            values = compose(case.overrides, root=root).values
        taken, failure = True, wrongly_taken(values)
    except ConfigError as error:
        if not 0 < len(str(error)) < MAX_MESSAGE:
            failure = f"a message of {len(str(error))} characters"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        failure = f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.alarm(0)
    seconds = time.process_time() - began
    if not failure and "Traceback" in told.getvalue():
        failure = "a traceback on standard error"
    if not failure and seconds >= MAX_CPU_S:
        failure = f"{seconds:.2f} s"
    return Outcome(taken, seconds, failure)


class Hangs(Exception):
    """A case that does not end."""


def hangs(*_: object) -> None:
    raise Hangs(f"no end after {HANGS_AFTER_S} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, hangs)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "conf", root / "conf")
        compose([], root=root)  # imports
        outcomes: dict[int, tuple[str, Outcome]] = {}
        end = time.monotonic() + 60 * asked.minutes
        for number in range(asked.first, asked.first + asked.cases):
            if time.monotonic() < end:
                outcomes[number] = tried_once(number, asked.seed, root)
        sys.exit(report(outcomes))


def tried_once(number: int, seed: int, root: Path) -> tuple[str, Outcome]:
    case = case_of(number, seed)
    outcome = tried(case, root)
    if outcome.failure:
        print(f"case {number}: {outcome.failure}\n  {case}", flush=True)
    return case.kind, outcome


def report(outcomes: Mapping[int, tuple[str, Outcome]]) -> int:
    """Print the counts; return the exit code."""
    kinds: Counter[str] = Counter(kind for kind, _ in outcomes.values())
    taken = Counter(kind for kind, outcome in outcomes.values() if outcome.taken)
    failed = sum(bool(outcome.failure) for _, outcome in outcomes.values())
    print(f"{'':16}{'tried':>8}{'taken':>8}{'refused':>9}")
    for kind, count in kinds.items():
        print(f"{kind:16}{count:8}{taken[kind]:8}{count - taken[kind]:9}")
    slowest = max(outcome.seconds for _, outcome in outcomes.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"slowest {slowest:.2f} s, peak {peak / 1e6:.0f} MB, limit {MAX_BYTES / 1e6:.0f} MB")
    print(f"settings: tried {len(outcomes)}, taken {sum(taken.values())}, failed {failed}")
    return int(failed > 0)


if __name__ == "__main__":
    main()
