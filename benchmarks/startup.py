"""From the shell to the end of each command, against the time of importing torch and Lightning.

    python benchmarks/startup.py --rounds 5 [--json startup.json]

Every command is a process of its own in a fresh project, with the MNIST of this project where it
is downloaded, else with the small one of the tests (then `preprocess` and `download` are left out).
A round runs each import and each command once, in turn, so that a busy moment meets all of them.
The first round only warms the disk. The table has medians, the least and the largest time, the
processor's time, and the ratios to the imports of the same run. On a busy machine only the ratios
of the processor's times mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

TORCH, LIGHTNING = "import torch", "import pytorch_lightning"
# 550 images, one epoch; the small set has 2,000.
IMAGES, ALL_IMAGES, SMALL_IMAGES = 550, 55_000, 2_000
Limit = Callable[[float, float], float]  # seconds of the two imports → most seconds


@dataclass(frozen=True)
class Case:
    """A command, or an import. limit: None where nothing is promised."""

    name: str
    words: tuple[str, ...]
    limit: Limit | None = None
    meaning: str = ""
    before: tuple[str, ...] = ()  # folders that the command would find


@dataclass(frozen=True)
class Run:
    """Seconds of one process: on the clock, and of the processor."""

    wall: float
    processor: float


def cases(num_images: int, *, whole: bool) -> list[Case]:
    share = f"data.fraction={IMAGES / num_images:.6g}"
    train = ("train", "name=timed", share, "trainer.max_epochs=1", "overwrite=true")
    fast = [
        Case("train, tracking=none", (*train, "tracking=none"), before=("models/timed",)),
        Case("train", train, lambda t, p: 1.25 * p + 1, "1.25 Lightning + 1 s", ("models/timed",)),
        Case("evaluate", ("evaluate", "name=mlp"), lambda t, p: 1.5 * t + 1, "1.5 torch + 1 s"),
        Case("evaluate a CNN", ("evaluate", "name=cnn")),
        Case(
            "predict",
            ("predict", "digit.png", "name=mlp"),
            lambda t, p: 1.3 * t + 0.3,
            "1.3 torch + 0.3 s",
        ),
        Case("diagnose", ("diagnose", "name=mlp"), lambda t, p: 1.0, "1 s"),
        Case("report", ("report", "models=[mlp]"), lambda t, p: 1.0, "1 s"),
        Case("compare", ("compare", "names=[mlp,again]")),
    ]
    idle = [
        Case(f"{name}, nothing to do", (name,), lambda t, p: 0.5, "0.5 s")
        for name in ("preprocess", "download")
    ]
    return fast + (idle if whole else [])


def run(words: list[str], folder: Path) -> Run:
    """Run a process to its end. Raises where it fails."""
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles our sources anew
    began = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = (folder / "log.txt").read_text()[-2000:]
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}\n{tail}")
    return Run(wall, usage.ru_utime + usage.ru_stime)


def pipeline(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *words]


def project(folder: Path) -> tuple[int, bool]:
    """Fill a project; return the number of training images, and whether the data is whole."""
    from PIL import Image

    from small_mnist import load_images, write_prepared

    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "mlruns").mkdir()
    raw = ROOT / "data" / "raw" / "mnist"
    whole = (raw / "SHA256SUMS").is_file()
    if whole:
        shutil.copytree(raw, folder / "data" / "raw" / "mnist")
        run(pipeline("preprocess"), folder)
    else:
        write_prepared(folder / "data" / "processed" / "mnist")
    Image.fromarray(load_images("test").images[0, 0]).save(folder / "digit.png")
    num_images = ALL_IMAGES if whole else SMALL_IMAGES
    share = f"data.fraction={min(1.0, 2000 / num_images):.6g}"
    for name in ("mlp", "cnn"):
        run(
            pipeline("train", f"name={name}", f"model={name}", share, "trainer.max_epochs=2"),
            folder,
        )
    for command in (("evaluate", "name=mlp"), ("evaluate", "name=cnn"), ("diagnose", "name=mlp")):
        run(pipeline(*command), folder)
    shutil.copytree(folder / "results" / "mlp", folder / "results" / "again")
    return num_images, whole


def measure(rounds: int, folder: Path) -> tuple[dict[str, list[Run]], list[Case]]:
    num_images, whole = project(folder)
    imports = [Case(name, (sys.executable, "-c", name)) for name in (TORCH, LIGHTNING)]
    commands = cases(num_images, whole=whole)
    times: dict[str, list[Run]] = {case.name: [] for case in (*imports, *commands)}
    for number in range(rounds + 1):
        for case in (*imports, *commands):
            for name in case.before:
                shutil.rmtree(folder / name, ignore_errors=True)
            words = list(case.words) if case in imports else pipeline(*case.words)
            done = run(words, folder)
            if number:
                times[case.name].append(done)
    return times, [*imports, *commands]


def median(runs: list[Run], kind: str) -> float:
    return statistics.median(getattr(each, kind) for each in runs)


def table(times: dict[str, list[Run]], listed: list[Case]) -> str:
    lines = [
        "| process | seconds (least … most) | of the processor | × torch | × Lightning "
        "| promised | kept | kept by the processor's time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base = {
        kind: (median(times[TORCH], kind), median(times[LIGHTNING], kind))
        for kind in ("wall", "processor")
    }
    for case in listed:
        runs = times[case.name]
        walls = [each.wall for each in runs]
        wall, processor = median(runs, "wall"), median(runs, "processor")
        kept = ["", ""]
        if case.limit is not None:
            kept = [
                "yes" if value <= case.limit(*base[kind]) else f"no: {case.limit(*base[kind]):.2f}"
                for kind, value in (("wall", wall), ("processor", processor))
            ]
        torch, lightning = (processor / each for each in base["processor"])
        lines.append(
            f"| {case.name} | {wall:.2f} ({min(walls):.2f} … {max(walls):.2f}) | {processor:.2f} "
            f"| {torch:.2f} | {lightning:.2f} | {case.meaning} | {kept[0]} | {kept[1]} |"
        )
    return "\n".join(lines)


def machine() -> str:
    names = ("torch", "pytorch-lightning", "mlflow", "matplotlib")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} processors ({platform.processor() or platform.machine()}), load {load}, "
        f"Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for all times")
    asked = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        times, listed = measure(asked.rounds, Path(folder))
    print(table(times, listed))
    print(f"\n{asked.rounds} rounds in turn; {before}; load at the end {os.getloadavg()[0]:.1f}")
    if asked.json:
        values = {name: [vars(each) for each in runs] for name, runs in times.items()}
        asked.json.write_text(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
