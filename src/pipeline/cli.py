"""``pipeline <command> [key=value] …``: which command, its options, errors → exit codes.

Nothing heavy is imported before a command is known, so help is there at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pipeline import ending, home, interruption, terminal
from pipeline.commands.registry import REGISTRY, load, overview
from pipeline.errors import ConfigError, PipelineError
from pipeline.passwords import hide_all

HELP_FLAGS = ("-h", "--help")
# New objects between two searches for garbage. torch's import makes 100,000 and no garbage: with
# Python's 700, the search takes a seventh of the import.
COLLECT_AFTER = 50_000


def run() -> NoReturn:
    """Run the command line, and end the process with its exit code."""
    ending.end(main())


def main() -> int:
    """Run the command line; return the exit code. An error is one message on stderr."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    with interruption.handled():
        try:
            return _main()
        except KeyboardInterrupt:
            return _interrupted()
        except Exception:
            if interruption.received() is None:
                raise
            return _interrupted()  # a library has turned the signal into an error of its own


def _main() -> int:
    interruption.end_with_dvc()
    terminal.survive_any_encoding()
    home.work_without_one()
    try:
        code = _answered(sys.argv[1:])
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if not any(map(terminal.has_lost_its_reader, (sys.stdout, sys.stderr))):
            _print_error(f"{error}: another process has closed its connection. Try again.")
            return 1
        # The reader has left: `pipeline … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as a shell reports SIGPIPE


def _answered(words: Sequence[str]) -> int:
    """Return the exit code of a command line, once its error, if any, is printed."""
    try:
        return _run(words)
    except PipelineError as error:
        if interruption.received() is not None:
            raise
        _print_error(str(error))
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:
        if interruption.received() is not None:
            raise
        from pipeline.disk import explained

        _print_error(explained(error))
        return 1


def _interrupted() -> int:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one line for all processes of a training
        print(interruption.line(), file=sys.stderr)
    return interruption.exit_code()


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in (*HELP_FLAGS, "help"):
        if len(words) < 2:
            print(overview(), end="")
            return 0
        words = [words[1], "--help"]
    name, *rest = words
    if name == "--version":
        from importlib.metadata import version

        print("pipeline", version("pipeline"))
        return 0
    if name not in REGISTRY:
        from pipeline.config import nearest

        raise ConfigError(f"{name}: unknown command{nearest(name, REGISTRY)}")
    if any(flag in rest for flag in HELP_FLAGS):
        from pipeline.commands.manual import manual

        print(manual(name, load(name)), end="")
        return 0
    return call(name, rest)


def call(name: str, rest: Sequence[str]) -> int:
    """Run a command in the project's root; paths that are typed stay relative to the caller's."""
    here = Path.cwd().resolve()
    if REGISTRY[name].settles and (here / "conf" / "config.yaml").is_file():
        from pipeline.commands.settled import is_settled

        if is_settled(name, rest, root=here):
            return 0

    if not REGISTRY[name].trains:
        # Awake, they make a busy machine many times slower, and a quiet one hardly faster.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pipeline.commands.parse import parse
    from pipeline.config import find_root
    from pipeline.config.lasting import keep_new

    command = load(name)
    if command.resumed:
        interruption.way_on("the same command goes on after the last finished epoch")
    anywhere = command.anywhere_with and any(
        word.startswith(f"{command.anywhere_with}=") for word in rest
    )
    root = find_root(here) if command.in_project and not anywhere else here
    called = parse(name, command, hide_all(rest), here=here, root=root)
    if root != here:
        # Lightning starts the other processes of a training with this line, in the root.
        if Path(sys.argv[0]).exists():
            sys.argv[0] = str(Path(sys.argv[0]).absolute())
        if command.settings == "training":
            sys.argv[1:] = [name, *called.flags, *called.settings]
        os.chdir(root)
    code = command.run(called) or 0
    keep_new(root)
    return code


def _print_error(message: str) -> None:
    lines = "\n  ".join(map(terminal.visible, message.splitlines()))
    print(f"error: {lines}", file=sys.stderr)


if __name__ == "__main__":
    run()
