"""``pipeline <command> [key=value] …``: which command, its options, errors → exit codes.

Nothing heavy is imported before a command is known, so help is there at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline import ending, home, interruption, terminal
from pipeline.commands.registry import REGISTRY, load, overview
from pipeline.errors import ConfigError, PipelineError
from pipeline.passwords import hide_all

if TYPE_CHECKING:
    from pipeline.commands.command import Call

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
            interruption.end_with_dvc()
            terminal.survive_any_encoding()
            home.use_temporary_if_missing()
            return _run_into_pipe(sys.argv[1:])
        except KeyboardInterrupt:
            return _interrupted()
        except Exception:
            if interruption.received() is None:
                raise
            return _interrupted()  # a library has turned the signal into an error of its own


def _interrupted() -> int:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # one line for all processes of a training
        print(interruption.line(), file=sys.stderr)
    return interruption.exit_code()


def _run_into_pipe(words: Sequence[str]) -> int:
    """Run a command line, also where the reader of its output leaves: `pipeline … | head -1`."""
    try:
        code = _run_with_messages(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if not any(map(terminal.has_lost_its_reader, (sys.stdout, sys.stderr))):
            _print_error(f"{error}: another process has closed its connection. Try again.")
            return 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as a shell reports SIGPIPE


def _run_with_messages(words: Sequence[str]) -> int:
    """Run a command line; print an error for a person as one message, without a traceback."""
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


def _print_error(message: str) -> None:
    lines = "\n  ".join(map(terminal.visible, message.splitlines()))
    print(f"error: {lines}", file=sys.stderr)


def _run(words: Sequence[str]) -> int:
    """Run the command that the words name, or print the help that they ask for."""
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


def call(name: str, words: Sequence[str]) -> int:
    """Run a command in the project's root; paths that are typed stay relative to the caller's.

    words: those after the command's name.
    """
    here = Path.cwd().resolve()
    if REGISTRY[name].skips_when_up_to_date and (here / "conf" / "config.yaml").is_file():
        from pipeline.commands.up_to_date import is_up_to_date

        if is_up_to_date(name, words, root=here):
            return 0

    if not REGISTRY[name].trains:
        # Threads that wait awake slow a busy machine down many times.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from pipeline.commands.parse import parse
    from pipeline.config import find_root
    from pipeline.config.compose_cache import write_cache

    command = load(name)
    if command.resumed:
        interruption.set_hint("the same command goes on after the last finished epoch")
    root = find_root(here) if command.needs_project(words) else here
    called = parse(name, command, hide_all(words), here=here, root=root)
    if root != here:
        _enter(root, name, called)
    code = command.run(called) or 0
    write_cache(root)
    return code


def _enter(root: Path, name: str, called: Call[Any]) -> None:
    """Change into the root, where Lightning starts further processes with our own `sys.argv`."""
    if Path(sys.argv[0]).exists():
        sys.argv[0] = str(Path(sys.argv[0]).absolute())
    if load(name).settings == "training":
        sys.argv[1:] = [name, *called.flags, *called.settings]
    os.chdir(root)


if __name__ == "__main__":
    run()
