"""Images on the disk against images in memory: images a second and the most memory, in one run.

    python benchmarks/large_data.py --rounds 2 [--case digits] [--share 0.1]

digits  600,000 grey images of 28x28 pixels (0.5 GB), the textbook CNN
colour  100,000 coloured images of 96x96 pixels (2.8 GB), a small residual network

The images are MNIST's digits, repeated and moved; coloured ones are enlarged and tinted. The data
is prepared by the pipeline itself, and `pipeline train` shows some of it for two epochs: by
`data.stream=true` and by `data.stream=false`, one after the other. The speed is that of the second
epoch. Memory is the most that was the process's own (RssAnon): pages of a file do not count, since
the system takes them back. The last column says whether the training ends where a process may have
no more memory of its own than half of the images need, and 1.9 GB for torch (RLIMIT_DATA).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

SECONDS = 0.05  # between two looks at the memory
OF_TORCH = 1_900_000_000  # bytes of a training without its images
TRAIN = (
    *("trainer.max_epochs=2", "tracking=none", "signals=none", "trainer.sample_size=500"),
    *("data.batch_size=64", "overwrite=true", "name=large"),
)


@dataclass(frozen=True)
class Case:
    """A data set that is made here, and a network for it."""

    num_images: int
    side: int
    channels: int
    words: tuple[str, ...]
    shown: int  # images of an epoch


CASES = {
    "digits": Case(600_000, 28, 1, ("model=cnn",), 100_000),
    "colour": Case(100_000, 96, 3, ("model=resnet", "model.width=8"), 4_000),
}


def moved(images: np.ndarray, case: Case, generator: np.random.Generator) -> np.ndarray:
    """Return uint8 images of the case's form from MNIST's ``[B, 1, 28, 28]``."""
    shift = tuple(generator.integers(-2, 3, 2))
    images = np.roll(images, shift, axis=(2, 3))
    factor = case.side // 28
    images = images.repeat(factor, axis=2).repeat(factor, axis=3)
    edge = (case.side - images.shape[2]) // 2
    images = np.pad(images, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    if case.channels == 1:
        return images
    tint = generator.uniform(0.3, 1, (len(images), case.channels, 1, 1)).astype(np.float32)
    return (images * tint).astype(np.uint8)


def prepare(case: Case, num_images: int, folder: Path) -> tuple[float, int]:
    """Prepare the case's images as data set ``large``; return seconds and the most memory."""
    from pipeline.data.prepare import prepare_dataset
    from pipeline.data.store import load_prepared
    from pipeline.data.tensor_files import room
    from pipeline.records import ImageSet

    given = load_prepared(ROOT / "data" / "processed" / "mnist")
    generator, directory = np.random.default_rng(0), folder / "data" / "processed"
    images = room((num_images, case.channels, case.side, case.side), directory=directory)
    labels = np.empty(num_images, np.int64)
    for begin in range(0, num_images, 500):
        chosen = generator.integers(len(given.train), size=min(500, num_images - begin))
        part = slice(begin, begin + len(chosen))
        images[part] = moved(given.train.images[chosen], case, generator)
        labels[part] = given.train.labels[chosen]
    watch = Watch(os.getpid())
    test = ImageSet(images[:1000].copy(), labels[:1000])
    prepare_dataset(
        ImageSet(images, labels),
        test,
        name="mnist",
        class_names=given.card.class_names,
        validation_size=1000,
        split_seed=0,
        directory=directory / "mnist",
        settings=settings_of(case),
    )
    return watch.end()


def settings_of(case: Case) -> dict[str, object]:
    """Return the settings of preparation that a training compares with the card."""
    from pipeline.config import compose

    config = compose(["data=mnist"], root=ROOT)
    return dict(config.settings.data.preparation())


class Watch:
    """The most memory of its own that a process has, until `end`."""

    def __init__(self, process: int) -> None:
        self._file = Path(f"/proc/{process}/status")
        self._most, self._ends, self._began = 0, False, time.perf_counter()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ends:
            try:
                text = self._file.read_text()
            except OSError:
                return
            found = re.search(r"RssAnon:\s+(\d+) kB", text)
            self._most = max(self._most, 1024 * int(found[1]) if found else 0)
            time.sleep(SECONDS)

    def end(self) -> tuple[float, int]:
        """Return seconds since the beginning, and bytes."""
        self._ends = True
        self._thread.join()
        return time.perf_counter() - self._began, self._most


def limited(most: int | None) -> Callable[[], None] | None:
    """Return what a new process calls to have a limit of its own memory in bytes."""
    return partial(resource.setrlimit, resource.RLIMIT_DATA, (most, most)) if most else None


def train(
    case: Case, number: int, folder: Path, *, stream: bool, most: int | None = None
) -> tuple[float, int, bool]:
    """Train; return images a second of the second epoch, most memory, and whether it ended well."""
    share = f"data.fraction={min(1.0, case.shown / number)}"
    words = [*case.words, *TRAIN, share, f"data.stream={str(stream).lower()}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "train", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=limited(most),
    )
    watch = Watch(process.pid)
    told, _ = process.communicate()
    _, memory = watch.end()
    speeds = re.findall(r"([\d,]+) img/s", told)
    if process.returncode and most is None:
        raise SystemExit(told)
    speed = float(speeds[-1].replace(",", "")) if speeds else 0.0
    return speed, memory, process.returncode == 0


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--share", type=float, default=1.0, help="of the images")
    asked = parser.parse_args()
    for name in asked.case or CASES:
        case = CASES[name]
        number = int(asked.share * case.num_images)
        size = number * case.channels * case.side**2
        with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks", prefix="large-") as temporary:
            folder = Path(temporary)
            shutil.copytree(ROOT / "conf", folder / "conf")
            shutil.copy(ROOT / "pyproject.toml", folder)
            seconds, memory = prepare(case, number, folder)
            print(f"{name}: {number:,} images, {size / 1e9:.2f} GB")
            print(f"  prepared in {seconds:.0f} s, {memory / 1e9:.2f} GB of memory of its own")
            found: dict[bool, list[tuple[float, int]]] = {True: [], False: []}
            for _ in range(asked.rounds):
                for stream in (True, False):
                    found[stream].append(train(case, number, folder, stream=stream)[:2])
            most = size // 2 + OF_TORCH
            for stream, runs in found.items():
                speed = statistics.median(speed for speed, _ in runs)
                memory = max(memory for _, memory in runs)
                ended = train(case, number, folder, stream=stream, most=most)[2]
                print(
                    f"  {'from the disk' if stream else 'in memory':13} {speed:8,.0f} images/s, "
                    f"{memory / 1e9:.2f} GB; with at most {most / 1e9:.2f} GB: "
                    f"{'ends well' if ended else 'fails'}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
