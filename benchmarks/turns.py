"""Two processes that take turns, so that a busy moment of a shared machine meets both.

The speed of a shared machine changes twofold within minutes. Therefore both processes live at once,
and each runs for two seconds while the other one is stopped (SIGSTOP). The clock counts the time
that each ran between the ends of its first and last epoch; the first epoch is the warm-up.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TURN_S = 2.0


class Racer:
    """A process that runs only in its turns, and prints a line at the end of every epoch.

    ends: seconds that it had run at the end of each epoch.  seconds, processor: of the whole
    process, on the clock of its turns and of the processor; known once it has ended.
    """

    def __init__(
        self, command: list[str], *, environment: dict[str, str], folder: Path = ROOT
    ) -> None:
        self.ends: list[float] = []
        self.seconds = self.processor = 0.0
        self._ran, self._since = 0.0, time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stop()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("epoch"):
                self.ends.append(self._ran + time.perf_counter() - self._since)

    def turn(self, seconds: float) -> bool:
        """Run for a while; return whether there is more to do."""
        self._since = time.perf_counter()
        before = _processor_of_ended()
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return True
        self.seconds = self._ran + time.perf_counter() - self._since
        self.processor = _processor_of_ended() - before
        self._reader.join()
        if self.process.returncode:
            sys.exit(f"{self.process.args!r}: exit code {self.process.returncode}")
        return False

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)
        time.sleep(0.02)  # by now its last lines are read
        self._ran += time.perf_counter() - self._since - 0.02

    def speed(self, images: int) -> float:
        """Images a second, from the end of the first epoch to the end of the last.

        images: of an epoch.
        """
        return images * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def _processor_of_ended() -> float:
    """Return the seconds of the processor that all ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_in_turn(racers: Sequence[Racer]) -> None:
    """Run all to their ends, in turns; the one with fewer epochs goes on, beside the other."""
    try:
        running = set(racers)
        while running:
            fewest = min(len(racer.ends) for racer in running)
            for racer in [r for r in racers if r in running and len(r.ends) <= fewest]:
                if not racer.turn(TURN_S):
                    running.discard(racer)
    finally:
        for racer in racers:
            if racer.process.poll() is None:
                os.killpg(racer.process.pid, signal.SIGKILL)
