"""A disk that fills in the middle of a command: is anything lost once there is room again?

    python benchmarks/full_disk.py --sizes 40 [--stage train] [--way mount]

Each stage runs undisturbed first, which shows how much it writes. Then it runs many times where the
disk has room for a part of that only, from nothing to everything in equal steps. Way ``mount``
is a small file system (tmpfs, as root); way ``limit`` is the limit on a file's size. The checks
before the work are told that there is room, so the disk fills in the middle.

A command must end with one message and exit code 1, or end well. Then room is made, and the same
command runs again (after an end that was well only `pipeline sync`). The size counts as survived if
all files are those of the undisturbed run, if nothing half-written lies beside them, and if MLflow
has the same rows, each once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from killed_stages import STAGES, End, Stage, end_of, made, undisturbed, wrong
from killed_sweeps import import_everything
from pipeline import cli, disk

WAYS = ("mount", "limit")
ROOMY = "512m"
POLL_S = 0.002
NAMES = ("train", "evaluate", "diagnose", "report")
Limit = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and all that it has printed."""

    code: int
    text: str

    @property
    def complaints(self) -> list[str]:
        """Return what is wrong with the end of a command whose disk may be full."""
        found = ["a traceback"] if "Traceback" in self.text else []
        messages = self.text.count("\nerror: ") + self.text.startswith("error: ")
        if self.code not in (0, 1):
            found.append(f"exit code {self.code}")
        if messages != (self.code != 0):
            found.append(f"{messages} messages for exit code {self.code}")
        return found


def nothing() -> None:
    """Leave the limits of a command as they are."""


def run(folder: Path, words: tuple[str, ...], limit: Limit = nothing) -> Ended:
    """Run a command in a fork. Its output goes through a pipe, so it needs no disk."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _become(folder, words, writer, limit)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as output:
        text = output.read()
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), text)


def _become(folder: Path, words: tuple[str, ...], writer: int, limit: Limit) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        # This process may write into a file, whose stream would look for its place in the pipe.
        for number, name in ((1, "stdout"), (2, "stderr")):
            setattr(sys, name, open(number, "w", buffering=1, closefd=False))  # noqa: SIM115
        limit()
        sys.argv = ["pipeline", *words]
        code = cli.main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def untold_room() -> None:
    """Let the checks before the work find room: as on a disk that somebody else fills."""
    disk.check_disk.__code__ = (lambda places, *, largest: None).__code__


def limited_files(size: int) -> None:
    """Let no file grow beyond ``size`` bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    untold_room()


# ---- the two ways -----------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(place: Path) -> Iterator[Path]:
    """Mount a file system of its own at a place; yield a folder in it."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(place))
    try:
        yield place / "project"
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(place: Path, size: str) -> None:
    _mount("-o", f"remount,size={size}", str(place))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def may_mount() -> bool:
    """Whether this process may mount a file system."""
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False
        )
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
        return done.returncode == 0


def used(place: Path) -> int:
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def most_written(before: Path, stage: Stage, place: Path) -> int:
    """Return by how many bytes a stage fills its disk at most."""
    with mounted(place) as folder:
        shutil.copytree(before, folder, symlinks=True)
        begun = peak = used(place)
        over = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.wait(POLL_S):
                peak = max(peak, used(place))

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            run(folder, stage.words)
        finally:
            over.set()
            thread.join()
        return peak - begun


def largest_file(before: Path, stage: Stage, place: Path) -> int:
    """Return the size of the largest file that a stage writes or lets grow."""
    folder = place / "largest"
    shutil.copytree(before, folder, symlinks=True)
    began = time.time() - 1
    run(folder, stage.words)
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    sizes = [file.st_size for file in files if file.st_mtime > began]
    shutil.rmtree(folder)
    return max(sizes)


def on_a_small_disk(before: Path, stage: Stage, place: Path, room: int) -> tuple[Ended, Ended, End]:
    """Run a stage with so many bytes of room, then with enough; return both ends, and the files."""
    with mounted(place) as folder:
        shutil.copytree(before, folder, symlinks=True)
        resize(place, str(used(place) + room))
        full = run(folder, stage.words, untold_room)
        resize(place, ROOMY)
        return full, again(folder, stage, full), end_of(folder, stage)


def under_a_limit(before: Path, stage: Stage, place: Path, size: int) -> tuple[Ended, Ended, End]:
    """Do as `on_a_small_disk` does, with a limit on a file's size."""
    folder = place / "limited"
    shutil.copytree(before, folder, symlinks=True)
    try:
        full = run(folder, stage.words, lambda: limited_files(size))
        return full, again(folder, stage, full), end_of(folder, stage)
    finally:
        shutil.rmtree(folder)


def again(folder: Path, stage: Stage, full: Ended) -> Ended:
    """Give the same command again; after an end that was well, only send the record."""
    ended = run(folder, stage.words) if full.code else full
    sent = run(folder, ("sync",))
    return ended if ended.code else sent


# ---- the sizes --------------------------------------------------------------------------------


def sizes_of(name: str, way: str, count: int) -> int:
    """Return how many of the sizes of a stage were survived."""
    stage, survived = STAGES[name], 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        place = Path(temporary)
        before = made(place / "before", stage)
        wanted, _ = undisturbed(before, stage, place)
        measure = most_written if way == "mount" else largest_file
        most = measure(before, stage, place / "disk" if way == "mount" else place)
        meet = on_a_small_disk if way == "mount" else under_a_limit
        for number in range(count):
            room = most * number // count // 4096 * 4096
            target = place / "disk" if way == "mount" else place
            full, after, end = meet(before, stage, target, room)
            said = [*full.complaints, *([f"then exit code {after.code}"] if after.code else [])]
            said += wrong(wanted, end)
            survived += not said
            how = "ended well" if full.code == 0 else "one message"
            print(
                f"{name}, {way} {number}: {'LOST' if said else 'ok  '} {room / 1e3:.0f} of "
                f"{most / 1e3:.0f} kB, {how} {'; '.join(said)}",
                flush=True,
            )
            if said:
                print(f"{full.text[-1500:]}\n--- again\n{after.text[-1500:]}", flush=True)
    return survived


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, default=40)
    parser.add_argument("--stage", choices=NAMES, action="append")
    parser.add_argument("--way", choices=WAYS, action="append")
    options = parser.parse_args()
    import_everything()
    tried = survived = 0
    for way in options.way or WAYS:
        if way == "mount" and not may_mount():
            print("mount: left out, since only root may mount a file system")
            continue
        for name in options.stage or NAMES:
            survived += sizes_of(name, way, options.sizes)
            tried += options.sizes
    print(f"sizes: tried {tried}, survived {survived}, lost {tried - survived}")
    sys.exit(survived != tried)


if __name__ == "__main__":
    main()
