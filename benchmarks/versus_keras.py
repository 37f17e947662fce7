"""Fitting the textbook CNN: images a second against Keras, in turn, in the same run.

    python benchmarks/versus_keras.py --keras-python /path/to/environment/bin/python

The other environment holds tensorflow-cpu; without it the benchmark is skipped, with the reason.
Each round fits the same network on the same 55,000 images, batch 32, with validation on 5,000 after
every epoch: ours through `pipeline train` with everything on (tracking in MLflow, checkpoints,
measurements on the training part), Keras through `model.fit`. An epoch counts from the end of the
one before it to its own end; the first epoch of each round is the warm-up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
NUM_TRAIN = 55_000

KERAS = """
import json, sys, time
import numpy as np, keras
from keras import layers
arrays = np.load(sys.argv[1]); epochs = int(sys.argv[2])
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((28, 28, 1)), layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
    layers.Dense(128, activation="relu"), layers.Dropout(0.5), layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
times = []
class Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None): self.last = time.perf_counter()
    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter(); times.append(now - self.last); self.last = now
model.fit(arrays["x"], arrays["y"], batch_size=32, epochs=epochs, verbose=0, callbacks=[Clock()],
          validation_data=(arrays["vx"], arrays["vy"]))
print(json.dumps({"times": times, "parameters": model.count_params(), "version": keras.__version__}))
"""


def ours(epochs: int) -> list[float]:
    name = "bench_versus_keras"
    command = [sys.executable, "-m", "pipeline", "train", "experiment=tutorial_cnn", f"name={name}"]
    subprocess.run([*command, f"trainer.max_epochs={epochs}"], cwd=ROOT, check=True, capture_output=True)
    sys.path.insert(0, str(ROOT / "src"))
    from pipeline.evaluation.tables import read_history_csv

    return [row.metrics["time/epoch_s"] for row in read_history_csv(ROOT / "results" / name / "history.csv")]


def keras(python: str, arrays: Path, epochs: int) -> list[float]:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    command = [python, "-c", KERAS, str(arrays), str(epochs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet)
    return json.loads(done.stdout.splitlines()[-1])["times"]


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
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    if not options.keras_python:
        print(
            "skipped: no environment with tensorflow-cpu; name its Python with --keras-python or KERAS_PYTHON"
        )
        return
    ratios = []
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "mnist.npz"
        write_arrays(arrays)
        for round_ in range(options.rounds):
            mine = NUM_TRAIN / statistics.median(ours(options.epochs)[1:])
            theirs = NUM_TRAIN / statistics.median(keras(options.keras_python, arrays, options.epochs)[1:])
            ratios.append(mine / theirs)
            print(
                f"round {round_ + 1}: ours {mine:,.0f} images/s, Keras {theirs:,.0f}, ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(
        f"ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} … {max(ratios):.2f} (n={len(ratios)})"
    )


if __name__ == "__main__":
    main()
