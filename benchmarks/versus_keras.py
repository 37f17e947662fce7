"""Training the textbook CNN: images a second against Keras, in turn, in the same run.

    python benchmarks/versus_keras.py --keras-python /path/to/environment/bin/python

The other environment holds tensorflow-cpu; without it the benchmark stops with the reason. Each
round trains the same network on the same 55,000 images in batches of 32, with validation on 5,000
images after every epoch. Ours runs through `pipeline train` with everything on: tracking in MLflow,
checkpoints, measurements on the training part, and precision=auto, so bfloat16 where the processor
has it. Keras runs through `model.fit` in its default, float32.

Both processes live at once and take turns of two seconds, while the other one is stopped (SIGSTOP).
The speed of a shared machine changes twofold within minutes, and so it changes for both. The clock
counts the time that each ran between the ends of its first and last epoch; the first epoch is the
warm-up.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUM_TRAIN = 55_000
TURN_S = 2.0

KERAS = """
import sys
import numpy as np, keras
from keras import layers
arrays = np.load(sys.argv[1]); epochs = int(sys.argv[2])
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
    layers.Dense(128, activation="relu"), layers.Dropout(0.5),
    layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
class Line(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None): print(f"epoch {epoch + 1}", flush=True)
model.fit(arrays["x"], arrays["y"], batch_size=32, epochs=epochs, verbose=0, callbacks=[Line()],
          validation_data=(arrays["vx"], arrays["vy"]))
"""


class Racer:
    """A process that runs only in its turns, and prints a line at the end of every epoch.

    ends: seconds that it had run at the end of each epoch.
    """

    def __init__(self, command: list[str], *, environment: dict[str, str]) -> None:
        self.ends: list[float] = []
        self._ran, self._since = 0.0, time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
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
        os.killpg(self.process.pid, signal.SIGCONT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            return True
        self._reader.join()
        if self.process.returncode:
            sys.exit(f"{self.process.args}: exit code {self.process.returncode}")
        return False

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGSTOP)
        time.sleep(0.02)  # by now its last lines are read
        self._ran += time.perf_counter() - self._since - 0.02

    def speed(self) -> float:
        """Images a second, from the end of the first epoch to the end of the last."""
        return NUM_TRAIN * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def race(keras_python: str, arrays: Path, epochs: int) -> tuple[float, float]:
    """Return images a second: ours, Keras'."""
    seed = time.time_ns() % 2**31  # a new seed for each race: a killed one must not be resumed
    ours = [sys.executable, "-m", "pipeline", "train", "experiment=tutorial_cnn"]
    ours += ["name=bench_versus_keras", "overwrite=true"]
    racers = (
        Racer([*ours, f"trainer.max_epochs={epochs}", f"seed={seed}"], environment={}),
        Racer(
            [keras_python, "-c", KERAS, str(arrays), str(epochs)],
            environment={"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        ),
    )
    try:
        running = set(racers)
        while running:
            # The faster one waits for the other's epochs, so that each has the other beside it.
            fewest = min(len(racer.ends) for racer in running)
            for racer in [r for r in racers if r in running and len(r.ends) <= fewest]:
                if not racer.turn(TURN_S):
                    running.discard(racer)
    finally:
        for racer in racers:
            if racer.process.poll() is None:
                os.killpg(racer.process.pid, signal.SIGKILL)
    if any(len(racer.ends) != epochs for racer in racers):
        sys.exit("a racer has not printed every epoch: no ratio")
    mine, theirs = (racer.speed() for racer in racers)
    return mine, theirs


def write_arrays(path: Path) -> None:
    import numpy as np

    from pipeline.data.store import load_prepared

    data = load_prepared(ROOT / "data" / "processed" / "mnist")
    scaled = {
        "x": data.train.images.transpose(0, 2, 3, 1).astype(np.float32) / 255,
        "vx": data.val.images.transpose(0, 2, 3, 1).astype(np.float32) / 255,
    }
    np.savez(path, **scaled, y=data.train.labels, vy=data.val.labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keras-python", default=os.environ.get("KERAS_PYTHON"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if not options.keras_python:
        print(
            "skipped: no environment with tensorflow-cpu; "
            "name its Python with --keras-python or KERAS_PYTHON"
        )
        return
    ratios = []
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "mnist.npz"
        write_arrays(arrays)
        for round_ in range(options.rounds):
            mine, theirs = race(options.keras_python, arrays, options.epochs)
            ratios.append(mine / theirs)
            print(
                f"round {round_ + 1}: ours {mine:,.0f} images/s, Keras {theirs:,.0f}, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio: median {middle:.2f}, {low:.2f} … {high:.2f} (n={len(ratios)})")


if __name__ == "__main__":
    main()
