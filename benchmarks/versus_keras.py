"""Training the textbook CNN: images a second against Keras, in turn, in the same run.

    python benchmarks/versus_keras.py --keras-python /path/to/environment/bin/python [--whole]

The other environment holds tensorflow-cpu; without it the benchmark stops with the reason. Each
round trains the same network on the same 55,000 images in batches of 32, with validation on 5,000
images after every epoch. Ours runs through `pipeline train` with everything on: tracking in MLflow,
checkpoints, measurements on the training part, and precision=auto, so bfloat16 where the processor
has it. Keras runs through `model.fit` in its default, float32.

Both processes live at once and take turns of two seconds, while the other one is stopped (SIGSTOP).
The speed of a shared machine changes twofold within minutes, and so it changes for both. The clock
counts the time that each ran between the ends of its first and last epoch; the first epoch is the
warm-up. ``--whole`` compares whole processes of two epochs, one after the other.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import Racer, run_in_turn

ROOT = Path(__file__).parents[1]
NUM_TRAIN = 55_000

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


def commands(
    keras_python: str, arrays: Path, epochs: int
) -> tuple[tuple[list[str], dict[str, str]], tuple[list[str], dict[str, str]]]:
    """Return command and environment: ours, Keras'."""
    seed = time.time_ns() % 2**31  # a new seed for each race: a killed one must not be resumed
    ours = [sys.executable, "-m", "pipeline", "train", "experiment=tutorial_cnn"]
    ours += ["name=bench_versus_keras", "overwrite=true"]
    ours += [f"trainer.max_epochs={epochs}", f"seed={seed}"]
    theirs = [keras_python, "-c", KERAS, str(arrays), str(epochs)]
    return (ours, {}), (theirs, {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"})


def race(keras_python: str, arrays: Path, epochs: int) -> tuple[float, float]:
    """Return images a second: ours, Keras'."""
    ours, keras = commands(keras_python, arrays, epochs)
    racers = (Racer(ours[0], environment=ours[1]), Racer(keras[0], environment=keras[1]))
    run_in_turn(racers)
    if any(len(racer.ends) != epochs for racer in racers):
        sys.exit("a racer has not printed every epoch: no ratio")
    mine, theirs = (racer.speed(NUM_TRAIN) for racer in racers)
    return mine, theirs


def whole(keras_python: str, arrays: Path) -> tuple[float, float]:
    """Return the seconds of whole processes of two epochs: ours, Keras'."""
    seconds = []
    for words, environment in commands(keras_python, arrays, 2):
        began = time.perf_counter()
        subprocess.run(
            words, cwd=ROOT, env={**os.environ, **environment}, check=True, capture_output=True
        )
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


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
    parser.add_argument("--whole", action="store_true", help="seconds of whole processes")
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
            if options.whole:
                mine, theirs = whole(options.keras_python, arrays)
                ratios.append(theirs / mine)
                print(
                    f"round {round_ + 1}: ours {mine:.1f} s, Keras {theirs:.1f} s, "
                    f"ratio {ratios[-1]:.2f}",
                    flush=True,
                )
                continue
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
