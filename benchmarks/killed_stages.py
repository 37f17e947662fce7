"""kill -9 at random moments of each DVC stage: does the same command then give the same files?

    python benchmarks/killed_stages.py --kills 20 [--stage evaluate]

Each stage of `STAGES` runs twice undisturbed. Files that are equal in both are what a stage must
give; the others hold times. Then, once a kill, the stage begins in a copy of the same project, is
killed at a random moment, and runs again to its end. The kill counts as survived if all files are
those of the undisturbed run, if nothing half-written lies beside them, and if its run in MLflow has
the same rows, each once. `preprocess` needs the raw data of this project (`pipeline download`); the
others use the small MNIST of the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from killed_sweeps import ROOT, Forked, import_everything, project, query

TRAIN = ("train", "name=mlp", "model.width=64", "trainer.max_epochs=2")
RAW = ROOT / "data" / "raw" / "mnist"


@dataclass(frozen=True)
class Stage:
    """A stage, the commands before it, and the folders and files that it writes."""

    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...]


STAGES = {
    "preprocess": Stage(("preprocess",), (), ("data/processed",)),
    "train": Stage(TRAIN, (), ("models", "results")),
    "evaluate": Stage(("evaluate", "name=mlp"), (TRAIN,), ("results",)),
    "diagnose": Stage(("diagnose", "name=mlp"), (TRAIN,), ("results",)),
    "report": Stage(("report", "models=[mlp]"), (TRAIN, ("evaluate", "name=mlp")), ("results",)),
}


# Of the last run: a training that was killed when its run had ended is trained again as another.
ROWS = """
    SELECT key, step, value FROM metrics WHERE key NOT LIKE '%time%' AND run_uuid = (
        SELECT run_uuid FROM runs JOIN metrics USING (run_uuid) ORDER BY start_time DESC LIMIT 1)"""


@dataclass(frozen=True)
class End:
    """Path → hash of what a stage has left, and the rows of its run in MLflow, without times."""

    files: dict[str, str]
    rows: Counter[tuple[object, ...]]


def end_of(folder: Path, stage: Stage) -> End:
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for output in stage.outputs
        for path in sorted((folder / output).rglob("*"))
        if path.is_file()
    }
    store = folder / "mlflow.db"
    return End(files, Counter(query(store, ROWS)) if store.is_file() else Counter())


def made(folder: Path, stage: Stage) -> Path:
    """The project as it is before a stage."""
    project(folder)
    if stage.words == ("preprocess",):
        shutil.rmtree(folder / "data" / "processed")
        (folder / "data" / "raw").mkdir()
        (folder / "data" / "raw" / "mnist").symlink_to(RAW)
    for words in stage.before:
        run(folder, words)
    return folder


def run(folder: Path, words: Sequence[str]) -> float:
    """Run a command to its end; return its seconds."""
    began = time.perf_counter()
    if Forked(folder, list(words)).wait() != 0:
        sys.exit((folder / "log.txt").read_text()[-2000:])
    return time.perf_counter() - began


def undisturbed(before: Path, stage: Stage, place: Path) -> tuple[End, float]:
    """Return what the stage gives in every run, and its seconds."""
    ends, seconds = [], 0.0
    for number in range(2):
        folder = place / f"clean{number}"
        shutil.copytree(before, folder, symlinks=True)
        seconds = run(folder, stage.words)
        ends.append(end_of(folder, stage))
    first, second = ends
    same = {name: text for name, text in first.files.items() if second.files.get(name) == text}
    varied = {name: "" for name in first.files if name not in same}  # they hold times
    return End(same | varied, first.rows & second.rows), seconds


def wrong(wanted: End, found: End) -> list[str]:
    """Return what is different, one sentence each."""
    said = [f"{name} is missing" for name in wanted.files.keys() - found.files.keys()]
    said += [f"{name} is left over" for name in found.files.keys() - wanted.files.keys()]
    said += [
        f"{name} differs"
        for name, text in wanted.files.items()
        if text and name in found.files and found.files[name] != text
    ]
    if lost := wanted.rows - found.rows:
        said.append(f"MLflow: {lost.total()} rows lost")
    if doubled := [row for row, count in found.rows.items() if count > max(wanted.rows[row], 1)]:
        said.append(f"MLflow: {len(doubled)} rows doubled")
    return said


def killed(before: Path, stage: Stage, folder: Path, after_s: float) -> int:
    """Kill a stage after some seconds, then run it to its end; return its exit code."""
    shutil.copytree(before, folder, symlinks=True)
    command = Forked(folder, list(stage.words))
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(command.pid, signal.SIGKILL)
    command.wait()
    return Forked(folder, list(stage.words)).wait()


def kills_of(name: str, count: int) -> int:
    """Return how many of the kills of a stage were survived."""
    stage, survived, dice = STAGES[name], 0, random.Random(name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        before = made(Path(place) / "before", stage)
        wanted, seconds = undisturbed(before, stage, Path(place))
        for number in range(count):
            folder, after_s = Path(place) / "killed", dice.random() * seconds
            code = killed(before, stage, folder, after_s)
            said = wrong(wanted, end_of(folder, stage)) if code == 0 else [f"exit code {code}"]
            survived += not said
            print(
                f"{name} {number}: {'LOST' if said else 'ok  '} "
                f"killed after {after_s:.2f} of {seconds:.2f} s {'; '.join(said)}",
                flush=True,
            )
            if code:
                print((folder / "log.txt").read_text()[-1000:], flush=True)
            shutil.rmtree(folder)
    return survived


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stage", choices=STAGES, action="append")
    options = parser.parse_args()
    import_everything()
    tried = survived = 0
    for name in options.stage or STAGES:
        if name == "preprocess" and not (RAW / "SHA256SUMS").is_file():
            print("preprocess: left out, since this project has no raw data (pipeline download)")
            continue
        survived += kills_of(name, options.kills)
        tried += options.kills
    print(f"stages: tried {tried}, survived {survived}, lost {tried - survived}")
    sys.exit(survived != tried)


if __name__ == "__main__":
    main()
