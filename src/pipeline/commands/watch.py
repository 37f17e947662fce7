"""The command ``watch``: a log that grows → one line when a fault has become certain."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from pipeline.commands import fail_on as failing
from pipeline.commands.columns import COLUMNS, Column, column, named
from pipeline.commands.command import Call, Command, Options
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.diagnosis import History
    from pipeline.diagnosis.live import Alarm
    from pipeline.diagnosis.live.growing import GrowingLog

Seconds = Annotated[float, Field(gt=0)]


class WatchOptions(Options):
    """Options of ``pipeline watch``."""

    history: Path = Field(description="log that grows: a file, or the folder of a run")
    train_loss: Column | None = column("training loss")
    val_loss: Column | None = column("validation loss")
    train_accuracy: Column | None = column("training accuracy")
    val_accuracy: Column | None = column("validation accuracy")
    learning_rate: Column | None = column("learning rate")
    num_classes: Annotated[int, Field(ge=2)] | None = Field(
        None, description="classes of the data, where they are known"
    )
    idle: Seconds = Field(600, description="end after so many seconds without growth")
    timeout: Seconds | None = Field(None, description="end after so many seconds in any case")
    every: Seconds = Field(2, description="seconds between two looks at the file")
    fail_on: failing.FailOn = Field((), description=f"end at the first of these: {failing.FAIL_ON}")
    fail_from: failing.Confidence = Field(0.5, description=failing.FAIL_FROM)

    @model_validator(mode="after")
    def _a_file_and_a_fault(self) -> WatchOptions:
        if self.history == Path("-"):
            raise ConfigError(
                "history=-: standard input cannot be watched. Write a file as well: "
                "python train.py | tee log.txt, and watch history=log.txt"
            )
        failing.check(self.fail_on, self)
        return self


def run(call: Call[WatchOptions]) -> int:
    """Print each fault of a log once it is certain, and the verdict at the end.

    Raises `DataError` where the log could not be read at the end, or is not there.
    """
    from pipeline.diagnosis.live.growing import GrowingLog
    from pipeline.diagnosis.readers import read_log

    asked = call.options

    def read(path: Path) -> History:
        return read_log(path, named=named(asked), num_classes=asked.num_classes).history

    log = GrowingLog(asked.history, read)
    try:
        for alarm in _alarms(log, asked):
            print(f"{asked.history.name}: {alarm.line}", flush=True)
            code = _ends(alarm, asked)
            if code:
                return code
    except KeyboardInterrupt:
        _end(log, asked)
        raise
    return _end(log, asked)


def _alarms(log: GrowingLog, asked: WatchOptions) -> Iterator[Alarm]:
    """Look at the log until it rests."""
    from pipeline.diagnosis.live import LiveJudge

    judge, start = LiveJudge(), time.monotonic()
    grown = start
    while True:
        now = time.monotonic()
        if log.changed():
            grown, history = now, log.so_far()
            yield from judge.see(history) if history else ()
        end = min(grown + asked.idle, start + (asked.timeout or math.inf))
        if now >= end:
            return
        time.sleep(min(asked.every, end - now))  # the end does not wait for the next look


def _ends(alarm: Alarm, asked: WatchOptions) -> int:
    sure = {
        failing.ANY: alarm.confidence,
        alarm.family: alarm.confidence,
        alarm.verdict: alarm.verdict_confidence,
    }
    what = f"{asked.history.name}: {alarm.in_words}"
    return failing.exit_code(sure, asked.fail_on, asked.fail_from, what=what)


def _end(log: GrowingLog, asked: WatchOptions) -> int:
    """Print the verdict on the whole log; return the exit code."""
    from pipeline.diagnosis import diagnose

    history = log.read(log.path)
    diagnosis = diagnose(history)
    epochs = len(history.epochs)
    told = f"{diagnosis.name}: {diagnosis.in_words} after {epochs} {_noun(epochs)}"
    print(f"{told}; why: {_diagnose_command(asked)}", flush=True)
    sure = failing.certain(diagnosis)
    return failing.exit_code(sure, asked.fail_on, asked.fail_from, what=diagnosis.name)


def _diagnose_command(asked: WatchOptions) -> str:
    """Return the line that reads the log as it was read here."""
    given = {key: getattr(asked, key) for key in ("history", *COLUMNS, "num_classes")}
    return shlex.join(["pipeline", "diagnose", *(f"{k}={v}" for k, v in given.items() if v)])


def _noun(number: int) -> str:
    return "epoch" if number == 1 else "epochs"


COMMAND = Command(
    options=WatchOptions,
    run=run,
    in_project=False,
    examples=(
        "pipeline watch history=training.csv",
        "pipeline watch history=lightning_logs/version_0 idle=3600",
        "pipeline watch history=training.csv fail_on=any timeout=7200",
    ),
)
