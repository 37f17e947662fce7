"""The cost of a sweep: trials a minute, idle workers, and what pruning saves and loses.

    python benchmarks/sweep.py throughput   # against stock Lightning + MLflow, a process a trial
    python benchmarks/sweep.py pruning      # sweep=regularization with and without, paired seeds

Throughput: the same MLP, data and epochs on both sides. The peer is a common script: a
LightningModule that logs every step to MLflow through Lightning's logger, with a DataLoader. It is
started once for each trial, two processes of one thread side by side. The start is part of both
times. The table also has the processor seconds of a trial: on a shared machine they say more than
the clock. Rounds can run in portions: --first is the first round's number, and in pruning its seed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOCK = """
import sys
import pytorch_lightning as pl, torch
from pytorch_lightning.loggers import MLFlowLogger
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
folder, rate, epochs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
def part(name):
    d = load_file(f"{folder}/{name}.safetensors")
    return TensorDataset(d["images"].float() / 255, d["labels"])
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(),
                                 nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    def step(self, batch, name):
        x, y = batch
        out = self.net(x)
        loss = nn.functional.cross_entropy(out, y)
        accuracy = (out.argmax(1) == y).float().mean()
        every_step = name == "train"
        self.log(f"{name}/loss", loss, on_step=every_step, on_epoch=True)
        self.log(f"{name}/accuracy", accuracy, on_step=every_step, on_epoch=True)
        return loss
    def training_step(self, batch, i): return self.step(batch, "train")
    def validation_step(self, batch, i): self.step(batch, "val")
    def configure_optimizers(self): return torch.optim.Adam(self.parameters(), rate)
logger = MLFlowLogger("stock", tracking_uri="sqlite:///mlflow.db")
trainer = pl.Trainer(max_epochs=epochs, logger=logger, log_every_n_steps=1, accelerator="cpu",
                     enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Net(), DataLoader(part("train"), 64, shuffle=True), DataLoader(part("val"), 64))
"""

PRUNER = "successive_halving"  # the default of conf/config.yaml
SCHEMA = "import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').create_experiment('stock')"


def project(folder: Path, *, small: bool) -> Path:
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "mlruns").mkdir()
    target = folder / "data" / "processed" / "mnist"
    if small:
        sys.path.insert(0, str(ROOT / "tests"))
        from small_mnist import write_prepared

        write_prepared(target)
    else:
        target.parent.mkdir(parents=True)
        target.symlink_to(ROOT / "data" / "processed" / "mnist")
    return folder


def run(command: list[str], folder: Path) -> float:
    """Run a command to its end; return its seconds by the clock."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return time.perf_counter() - began


def sweep_command(*overrides: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", "train", "-m", *overrides]


def study(folder: Path):  # type: ignore[no-untyped-def]
    import optuna

    storage = f"sqlite:///{folder / 'optuna.db'}"
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)


def idle_share(folder: Path) -> float:
    """Return the share of the workers' time after each one's first trial in which no trial ran."""
    trials = defaultdict(list)  # of each worker: (end, seconds)
    for trial in study(folder).trials:
        end = trial.datetime_complete.timestamp()
        trials[trial.user_attrs["worker"]].append((end, trial.user_attrs["seconds"]))

    last = max(end for of_worker in trials.values() for end, _ in of_worker)
    whole = busy = 0.0
    for of_worker in trials.values():
        of_worker.sort()
        whole += last - of_worker[0][0]
        busy += sum(seconds for _, seconds in of_worker[1:])
    return 1 - busy / whole


def processor_s() -> float:
    """Return the processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_ours(folder: Path, *, trials: int, epochs: int) -> tuple[float, float]:
    """Return trials a minute, and processor seconds a trial, of a sweep with two workers."""
    used = processor_s()
    seconds = run(
        sweep_command(
            "optimizer.learning_rate=tag(log,interval(1e-4,1e-2))",
            f"n_trials={trials}",
            "n_jobs=2",
            "hydra/sweeper/pruner=none",
            f"trainer.max_epochs={epochs}",
            "data.batch_size=64",
            "model.width=128",  # as the peer's
            "model.depth=2",
        ),
        folder,
    )
    return trials * 60 / seconds, (processor_s() - used) / trials


def run_peer(folder: Path, *, pairs: int, epochs: int) -> tuple[float, float]:
    """Return the same of the peer: pairs of processes, one core each."""
    data = str(folder / "data" / "processed" / "mnist")
    run([sys.executable, "-c", SCHEMA], folder)  # the store's schema, not counted
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", STOCK, data, "1e-3", str(epochs)]
    began, used = time.perf_counter(), processor_s()
    for _ in range(pairs):
        both = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        codes = [process.wait() for process in both]
        if any(codes):
            sys.exit("the peer failed")
    trials = 2 * pairs
    return trials * 60 / (time.perf_counter() - began), (processor_s() - used) / trials


def throughput(first: int, rounds: int, trials: int, epochs: int, pairs: int) -> None:
    ratios, idles = [], []
    for index in range(first, first + rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = project(Path(name), small=True)
            ours, ours_s = run_ours(folder, trials=trials, epochs=epochs)
            idles.append(idle_share(folder))
        print(
            f"round {index}: ours {ours:.1f} trials/min, {ours_s:.2f} processor s a trial, "
            f"idle {idles[-1]:.1%}",
            flush=True,
        )
        with tempfile.TemporaryDirectory() as name:
            stock, stock_s = run_peer(project(Path(name), small=True), pairs=pairs, epochs=epochs)
        ratios.append(ours / stock)
        print(
            f"round {index}: stock {stock:.2f} trials/min, {stock_s:.2f} processor s a trial; "
            f"ratio {ours / stock:.1f} by the clock, {stock_s / ours_s:.1f} by processor time",
            flush=True,
        )
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    print(f"ratio: median {middle:.1f}, {low:.1f} … {high:.1f} (n={rounds})")
    print(f"idle: median {statistics.median(idles):.1%}, at most {max(idles):.1%}")


def run_pruned(pruner: str, *, seed: int, trials: int, epochs: int, jobs: int) -> tuple[float, int]:
    """Return the best validation loss of a sweep, and the epochs that all its trials trained."""
    with tempfile.TemporaryDirectory() as name:
        folder = project(Path(name), small=False)
        command = sweep_command(
            "sweep=regularization",
            f"n_trials={trials}",
            f"n_jobs={jobs}",
            f"hydra/sweeper/pruner={pruner}",
            f"hydra.sweeper.sampler.seed={seed}",
            f"trainer.max_epochs={epochs}",
            "data.fraction=0.04",
            "tracking=none",
            "trainer.sample_size=1000",
            "model.width=128",
        )
        run(command, folder)
        done = study(folder)
        results = folder / done.user_attrs["pipeline:folder"]
        num_epochs = 0
        for trial in done.trials:
            history = results / str(trial.number) / "results" / "mlp" / "history.csv"
            num_epochs += len(history.read_text().splitlines()) - 1
        return done.best_value, num_epochs


def pruning(first: int, rounds: int, trials: int, epochs: int, jobs: int) -> None:
    """Compare best validation loss and epochs with and without pruning, on the same seeds."""
    rows = []
    for seed in range(first, first + rounds):
        row = {
            pruner: run_pruned(pruner, seed=seed, trials=trials, epochs=epochs, jobs=jobs)
            for pruner in ("none", PRUNER)
        }
        rows.append(row)
        (plain, all_epochs), (pruned, fewer) = row["none"], row[PRUNER]
        print(
            f"seed {seed}: best {plain:.4f} in {all_epochs} epochs, pruned {pruned:.4f} in "
            f"{fewer}: {1 - fewer / all_epochs:.0%} saved",
            flush=True,
        )
    saved = [1 - row[PRUNER][1] / row["none"][1] for row in rows]
    lost = [row[PRUNER][0] - row["none"][0] for row in rows]
    spread = statistics.stdev(lost) if rounds > 1 else float("nan")
    low, middle, high = min(saved), statistics.median(saved), max(saved)
    print(f"saved: median {middle:.0%}, {low:.0%} … {high:.0%} (n={rounds})")
    print(
        f"difference of the best val loss: {statistics.mean(lost):+.4f} ± {spread:.4f} "
        f"(mean ± sd, n={rounds})"
    )
    print(json.dumps(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["throughput", "pruning"])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=2, help="of the peer's trials")
    parser.add_argument("--jobs", type=int, default=2, help="workers of pruning's sweeps")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    common = (options.first, options.rounds, options.trials, options.epochs)
    if options.what == "throughput":
        throughput(*common, options.pairs)
    else:
        pruning(*common, options.jobs)


if __name__ == "__main__":
    main()
