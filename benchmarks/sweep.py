"""What a sweep costs: trials a minute, idle workers, and what pruning saves and loses.

    python benchmarks/sweep.py throughput     # against one process per trial, stock Lightning + MLflow
    python benchmarks/sweep.py pruning        # sweep=regularization with and without, paired seeds

Throughput: the same MLP, data and epochs; the peer is what people write: a LightningModule that logs
every step to MLflow through Lightning's logger, with a DataLoader, started once for each trial, two
processes of one thread side by side. Starting is part of both times. Seconds of processor time a trial
are told too: on a machine that is shared with other work they say more than the clock.
Rounds can be run in portions: --first is the first round's number, and in pruning its seed.
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
        self.log(f"{name}/loss", loss, on_step=name == "train", on_epoch=True)
        self.log(f"{name}/accuracy", (out.argmax(1) == y).float().mean(), on_step=name == "train", on_epoch=True)
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
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "MLFLOW_DISABLE_TELEMETRY": "true"}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return time.perf_counter() - began


def study(folder: Path):  # type: ignore[no-untyped-def]
    import optuna

    storage = f"sqlite:///{folder / 'optuna.db'}"
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)


def idle_share(folder: Path) -> float:
    """Share of the workers' time after each one's first trial in which no trial ran."""
    spans = defaultdict(list)
    for trial in study(folder).trials:
        spans[trial.user_attrs["worker"]].append(
            (trial.datetime_complete.timestamp(), trial.user_attrs["seconds"])
        )
    last = max(end for mine in spans.values() for end, _ in mine)
    whole = busy = 0.0
    for mine in spans.values():
        mine.sort()
        whole += last - mine[0][0]
        busy += sum(seconds for _, seconds in mine[1:])
    return 1 - busy / whole


def processor_s() -> float:
    """Processor time of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def peers(folder: Path, epochs: int, *, pairs: int) -> tuple[float, float]:
    """Trials a minute, and processor seconds a trial, of the peer: pairs of processes, one core each."""
    data = str(folder / "data" / "processed" / "mnist")
    run([sys.executable, "-c", SCHEMA], folder)  # the store's schema, not counted
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    began, used = time.perf_counter(), processor_s()
    for _ in range(pairs):
        command = [sys.executable, "-c", STOCK, data, "1e-3", str(epochs)]
        both = [
            subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        if any(process.wait() for process in both):
            sys.exit("the peer failed")
    trials = 2 * pairs
    return trials * 60 / (time.perf_counter() - began), (processor_s() - used) / trials


def throughput(first: int, rounds: int, trials: int, epochs: int, pairs: int) -> None:
    ratios, idles = [], []
    for index in range(first, first + rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = project(Path(name), small=True)
            swept = "optimizer.learning_rate=tag(log,interval(1e-4,1e-2))"
            command = [
                sys.executable,
                "-m",
                "pipeline",
                "train",
                "-m",
                swept,
                f"n_trials={trials}",
                "n_jobs=2",
            ]
            command += ["hydra/sweeper/pruner=none", f"trainer.max_epochs={epochs}", "data.batch_size=64"]
            command += ["model.width=128", "model.depth=2"]  # as the peer's
            used = processor_s()
            ours = trials / run(command, folder) * 60
            ours_s = (processor_s() - used) / trials
            print(
                f"round {index}: ours {ours:.1f} trials/min, {ours_s:.2f} processor s a trial, "
                f"idle {idle_share(folder):.1%}",
                flush=True,
            )
            idles.append(idle_share(folder))
        with tempfile.TemporaryDirectory() as name:
            folder = project(Path(name), small=True)
            stock, stock_s = peers(folder, epochs, pairs=pairs)
        ratios.append(ours / stock)
        print(
            f"round {index}: stock {stock:.2f} trials/min, {stock_s:.2f} processor s a trial; "
            f"ratio {ours / stock:.1f} by the clock, {stock_s / ours_s:.1f} by processor time",
            flush=True,
        )
    print(
        f"ratio: median {statistics.median(ratios):.1f}, {min(ratios):.1f} … {max(ratios):.1f} (n={rounds})"
    )
    print(f"idle: median {statistics.median(idles):.1%}, at most {max(idles):.1%}")


def pruning(first: int, rounds: int, trials: int, epochs: int, jobs: int) -> None:
    """Best validation loss and epochs trained, with and without pruning, the same sampler seeds."""
    rows = []
    for seed in range(first, first + rounds):
        found = {}
        for pruner in ("none", PRUNER):
            with tempfile.TemporaryDirectory() as name:
                folder = project(Path(name), small=False)
                command = [sys.executable, "-m", "pipeline", "train", "-m", "sweep=regularization"]
                command += [f"n_trials={trials}", f"n_jobs={jobs}", f"hydra/sweeper/pruner={pruner}"]
                command += [f"hydra.sweeper.sampler.seed={seed}", f"trainer.max_epochs={epochs}"]
                command += [
                    "data.fraction=0.04",
                    "tracking=none",
                    "trainer.probe_size=1000",
                    "model.width=128",
                ]
                run(command, folder)
                done = study(folder)
                shown = sum(
                    len((folder / done.user_attrs["pipeline:folder"] / str(t.number) / "results" / "mlp" / "history.csv")
                        .read_text().splitlines()) - 1 for t in done.trials
                )  # fmt: skip
                found[pruner] = (done.best_value, shown)
        rows.append(found)
        (plain, all_epochs), (pruned, fewer) = found["none"], found[PRUNER]
        print(
            f"seed {seed}: best {plain:.4f} in {all_epochs} epochs, pruned {pruned:.4f} in {fewer}: "
            f"{1 - fewer / all_epochs:.0%} saved", flush=True,
        )  # fmt: skip
    saved = [1 - r[PRUNER][1] / r["none"][1] for r in rows]
    lost = [r[PRUNER][0] - r["none"][0] for r in rows]
    spread = statistics.stdev(lost) if rounds > 1 else float("nan")
    print(f"saved: median {statistics.median(saved):.0%}, {min(saved):.0%} … {max(saved):.0%} (n={rounds})")
    print(
        f"difference of the best val loss: {statistics.mean(lost):+.4f} ± {spread:.4f} (mean ± sd, n={rounds})"
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
