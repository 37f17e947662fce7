"""An epoch of `pipeline train` with everything on, over a bare PyTorch loop, in turns.

    python benchmarks/bare_loop.py --rounds 3 [--epochs 4] [--only "cnn, batch 32"]
    python benchmarks/bare_loop.py --check --rounds 1 --epochs 3   # as CI does, for one case

The bare loop is the limit: the same network, images, precision, memory format, and fused optimizer;
an epoch of training steps, then the loss and accuracy of the validation part. It records nothing.
The pipeline measures its training sample and signals besides, writes to MLflow, saves a checkpoint
and prints a line. `turns.py` says how the two are clocked. A ratio of 1 costs nothing.

With ``--check`` a ratio is compared with `RECORDED`. The exit code is 1 if three races in a row are
slower by more than `NOISE`.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turns import Racer, run_in_turn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

if TYPE_CHECKING:
    from pipeline.records import DataCard, ImageSet

MLP = ("model=mlp", "model.width=256", "model.depth=2")
CASES = {
    "cnn, batch 32": ("model=cnn", "data.batch_size=32"),
    "cnn, batch 128": ("model=cnn", "data.batch_size=128"),
    "mlp 2x256, batch 64": (*MLP, "data.batch_size=64"),
    "mlp 2x256, batch 256": (*MLP, "data.batch_size=256"),
}
# Time over the bare loop's: two cores of an AMD EPYC without other load, n = 2, 28 November 2026.
RECORDED = {
    "cnn, batch 32": 1.05,
    "cnn, batch 128": 0.77,
    "mlp 2x256, batch 64": 1.20,
    "mlp 2x256, batch 256": 1.09,
}
NOISE = 1.4  # times: on a busy machine the ratios were up to 1.2 times those
RACES = 3


def lost(name: str, ratios: Sequence[float]) -> bool:
    """Whether every one of enough races was slower than the recorded one, beyond noise."""
    return len(ratios) >= RACES and min(ratios) > NOISE * RECORDED[name]


def again(name: str, ratios: Sequence[float]) -> bool:
    """Whether one more race has to tell a loss from a busy moment."""
    return min(ratios) > NOISE * RECORDED[name] and len(ratios) < RACES


def bare(words: list[str], epochs: int) -> None:
    """Train as a script of a few lines does, and print a line after each epoch."""
    import torch
    from torch.nn import functional

    from pipeline.config import compose
    from pipeline.data.store import load_prepared
    from pipeline.runs.network import untrained_network
    from pipeline.training.hardware import choose_hardware

    settings = compose(words, root=ROOT).settings
    data = load_prepared(ROOT / "data" / "processed" / settings.data.name)
    network = untrained_network(settings, data.card, root=ROOT)
    chosen = choose_hardware(network, settings, card=data.card)
    device = torch.device(chosen.accelerator)
    layout = torch.channels_last if chosen.channels_last else torch.contiguous_format
    network = network.to(device).to(memory_format=layout)
    half = torch.autocast(device.type, torch.bfloat16, enabled=chosen.precision == "bf16")
    optimizer = torch.optim.Adam(
        network.parameters(), lr=settings.optimizer.learning_rate, fused=True
    )
    train, val = (
        Batches(part, data.card, device=device, layout=layout) for part in (data.train, data.val)
    )
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(train)).to(device)
        for index in order.split(int(settings.data.batch_size)):
            images, labels = train.of(index)
            with half:
                logits = network(images)
            loss = functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        val_loss, accuracy = validated(network, val, half)
        print(f"epoch {epoch + 1}: {val_loss:.3f} {accuracy:.4f}", flush=True)


def validated(network: Any, val: Batches, half: Any) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy over the part; one read from the device."""
    import torch
    from torch.nn import functional

    network.eval()
    total = torch.zeros(2, device=val.labels.device)
    with torch.no_grad(), half:
        for index in torch.arange(len(val), device=val.labels.device).split(125):
            images, labels = val.of(index)
            logits = network(images).float()
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            total += torch.stack([loss, (logits.argmax(1) == labels).sum()])
    loss_mean, accuracy = (total / len(val)).tolist()
    return loss_mean, accuracy


class Batches:
    """Images of a part on the device, standardised when they are taken."""

    def __init__(self, part: ImageSet, card: DataCard, *, device: Any, layout: Any) -> None:
        import torch

        from pipeline.data.batches import standardisation

        self.images = torch.tensor(part.images).to(device)
        self.labels = torch.tensor(part.labels).to(device)
        self.shift, self.scale = (each.to(device) for each in standardisation(card.mean, card.std))
        self.layout = layout

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, index: Any) -> tuple[Any, Any]:
        import torch

        images = torch.addcmul(self.shift, self.images[index], self.scale)
        return images.contiguous(memory_format=self.layout), self.labels[index]


def race(words: tuple[str, ...], epochs: int, folder: Path) -> tuple[float, float]:
    """Return images a second of the pipeline and of the bare loop."""
    seed = time.time_ns() % 2**31  # a new one for each race: a killed training must not be resumed
    train = ["train", *words, f"seed={seed}", f"trainer.max_epochs={epochs}", "name=raced"]
    own = [sys.executable, "-m", "pipeline", *train, "overwrite=true"]
    loop = [sys.executable, __file__, "--bare", str(epochs), *words]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    racers = (Racer(own, environment=path, folder=folder), Racer(loop, environment=path))
    run_in_turn(racers)
    if any(len(racer.ends) != epochs for racer in racers):
        sys.exit("a racer has not printed every epoch: no ratio")
    images = 55_000
    return racers[0].speed(images), racers[1].speed(images)


def project(folder: Path) -> Path:
    """A project of its own, so that the record of this one stays as it is."""
    for name in ("conf", "data"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "mlruns").mkdir()
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--device", default="cpu", help="trainer.accelerator")
    parser.add_argument("--check", action="store_true", help="fail if slower than recorded")
    parser.add_argument("--bare", type=int, metavar="EPOCHS", help=argparse.SUPPRESS)
    options, words = parser.parse_known_args()
    if options.bare:
        bare(words, options.bare)
        return
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    print("| training | images a second | bare loop | time over the bare loop's | n |")
    print("|---|---|---|---|---|", flush=True)
    slower = []
    for name in options.only or CASES:
        ratios = raced(name, options)
        while options.check and again(name, ratios):
            ratios += raced(name, options)
        if options.check and lost(name, ratios):
            slower.append(f"{name}: {min(ratios):.2f} at best, {RECORDED[name]} is recorded")
    if slower:
        sys.exit("slower than recorded, beyond noise: " + "; ".join(slower))


def raced(name: str, options: argparse.Namespace) -> list[float]:
    """Race so often, print a line of the table, and return the ratios."""
    speeds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            device = f"trainer.accelerator={options.device}"
            chosen = (*CASES[name], device)
            speeds.append(race(chosen, options.epochs, project(Path(folder))))
    ratios = [loop / own for own, loop in speeds]
    own, loop = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(
        f"| {name} | {own:,.0f} | {loop:,.0f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} … {max(ratios):.2f}) | {len(ratios)} |",
        flush=True,
    )
    return ratios


if __name__ == "__main__":
    main()
