"""The runs of a command: side by side, each once, each with its number."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.experiment import safe_name
from pipeline.errors import CommandError
from pipeline.verification.foreign.journal import FinishedRun, Journal
from pipeline.verification.foreign.options import ForeignOptions
from pipeline.verification.foreign.process import Stopped, last_lines, run_command
from pipeline.verification.foreign.reading import FILE_KINDS, is_store, read_number
from pipeline.verification.foreign.template import OUT, SEED, Template, fill

# Files of a command that make its runs others when they change. What it may write is none of them.
_CODE = (".py", ".sh", ".jl", ".r", ".lua", ".yaml", ".yml", ".toml", ".ini", ".cfg")


@dataclass(frozen=True)
class Job:
    """One run that is wanted. settings: all placeholders but the seed.  label: for people."""

    label: str
    settings: Mapping[str, str]
    seed: int


class Runs:
    """The runs of one command. What an earlier start has finished is not run again.

    say: takes one line for each run that ends.  used: keys of the runs that were asked for.
    """

    def __init__(
        self, template: Template, options: ForeignOptions, *, say: Callable[[str], None]
    ) -> None:
        self.used: set[str] = set()
        self._template = template
        self._options = options
        self._journal = Journal(options.results / "runs.jsonl")
        self._code: dict[str, str] = {}
        self._say = say

    def values(self, jobs: Sequence[Job]) -> list[float]:
        """Return the number of each job, in their order; run those that are missing.

        Raises `CommandError` for the first run that fails, once the others are ended.
        """
        keys = [self._key(job) for job in jobs]
        self.used.update(keys)
        missing = {
            key: job for key, job in zip(keys, jobs, strict=True) if self._journal.find(key) is None
        }
        if missing:
            self._run(missing)
        found = [self._journal.find(key) for key in keys]
        return [run.value for run in found if run is not None]

    def _run(self, missing: Mapping[str, Job]) -> None:
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._options.n_jobs)
        try:
            futures = [pool.submit(self._one, key, job, stop) for key, job in missing.items()]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            _raise_first(done)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, key: str, job: Job, stop: threading.Event) -> None:
        if stop.is_set():
            raise Stopped
        folder = self._options.results
        out = folder / "out" / key
        settings = {**job.settings, SEED: str(job.seed), OUT: str(out.absolute())}
        words = self._template.filled(settings)
        if self._template.writes_out:
            out.mkdir(parents=True, exist_ok=True)
        logs = folder / "logs" / f"{safe_name(job.label)}_{key}"
        begun = time.time()
        try:
            run = self._finished(key, words, settings, logs, begun, stop)
        except CommandError as error:
            raise CommandError(f"{job.label}: {error}\nThe command was: {_shown(words)}") from error
        self._journal.add(run)
        self._say(f"{job.label}: {self._options.metric} {run.value:.6g}, {run.seconds:.1f} s")

    def _finished(
        self,
        key: str,
        words: Sequence[str],
        settings: Mapping[str, str],
        logs: Path,
        begun: float,
        stop: threading.Event,
    ) -> FinishedRun:
        options = self._options
        named = fill(options.metric_file, settings) if options.metric_file else None
        looked = [options.folder / named] if named else self._found(settings)
        before = {path: _state(path) for path in looked}
        run_command(
            self._template.to_run(settings), logs=logs, timeout_s=options.timeout_s, stop=stop
        )
        if named:
            files = [_written(options.folder / named, before)]
        else:  # what a run that was killed has left is not of this one
            files = [path for path in self._found(settings) if _state(path) != before.get(path)]
        output = Path(f"{logs}.out").read_text(errors="replace")
        try:
            found = read_number(
                options.metric, output="" if named else output, files=files, since=begun
            )
        except CommandError as error:
            raise CommandError(f"{error}. Its last lines:\n{last_lines(logs)}") from error
        seconds = time.time() - begun
        return FinishedRun(key, tuple(words), found.value, found.source, round(seconds, 3))

    def _found(self, settings: Mapping[str, str]) -> list[Path]:
        """Return the files in the run's own folder that may hold the number."""
        if not self._template.writes_out:
            return []
        every = sorted(Path(settings[OUT]).rglob("*"))
        return [path for path in every if path.suffix in FILE_KINDS and path.is_file()]

    def _key(self, job: Job) -> str:
        words = self._template.filled({**job.settings, SEED: str(job.seed), OUT: ""})
        content = [
            self._template.words,
            sorted(job.settings.items()),
            job.seed,
            self._options.metric,
            self._options.metric_file,
            [self._digest(word) for word in words if word.lower().endswith(_CODE)],
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def _digest(self, word: str) -> str:
        """Return the hash of a file that the command names, as it was when it was first needed."""
        if word not in self._code:
            named = word.partition("=")[2]  # of --config=main.yaml
            given = [self._options.folder / each for each in (word, named) if each]
            path = next((each for each in given if each.is_file()), given[0])
            content = path.read_bytes() if path.is_file() else b""
            self._code[word] = hashlib.sha256(content).hexdigest()
        return self._code[word]


def _raise_first(done: set[Future[None]]) -> None:
    errors = [error for future in done if (error := future.exception()) is not None]
    real = [error for error in errors if not isinstance(error, Stopped)]
    for error in (*real, *errors):
        raise error


def _state(path: Path) -> tuple[int, int] | None:
    return (path.stat().st_mtime_ns, path.stat().st_ino) if path.is_file() else None


def _written(path: Path, before: Mapping[Path, tuple[int, int] | None]) -> Path:
    """Return the file that a run was to write.

    Raises `CommandError` where it did not: an older run's number must not count for this one.
    """
    if not path.is_file():
        raise CommandError(f"it did not write {path}")
    if _state(path) == before[path] and not is_store(path):
        raise CommandError(f"it left {path} as it was before")
    return path


def _shown(words: Sequence[str]) -> str:
    import shlex

    return shlex.join(words)
