"""The network and schedule of `experiment=fast_cnn` as a short script that needs only torch.

    python benchmarks/bare_fast_cnn.py data/processed/mnist 0 [--threads 1] [--test]

It trains with a seed, prints a line after each epoch, writes `bare_0.pt`, and records nothing.
With --test it prints the test accuracy of that file.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

EPOCHS, BATCH, PEAK_RATE = 2, 128, 0.005
WARMUP, INITIAL_FACTOR, FINAL_FACTOR = 0.3, 0.04, 1e-4
MEAN, STD = 0.1307, 0.3082


def block(channels_in: int, channels: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels, 5, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.MaxPool2d(2), nn.ReLU()]


def network() -> nn.Sequential:
    head = [nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10)]
    return nn.Sequential(*block(1, 16), *block(16, 32), *head)


def factor(step: int, num_steps: int) -> float:
    """Return the factor on the peak rate: up along half a cosine, then down."""
    peak = WARMUP * num_steps - 1
    if step < peak:
        start, end, share = INITIAL_FACTOR, 1.0, step / peak
    else:
        start, end, share = 1.0, FINAL_FACTOR, (step - peak) / (num_steps - 1 - peak)
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def load(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    part = load_file(folder / f"{split}.safetensors")
    images = (part["images"].float() / 255 - MEAN) / STD
    return images.contiguous(memory_format=torch.channels_last), part["labels"]


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    net.eval()
    parts = zip(images.split(125), labels.split(125), strict=True)
    right = sum(int((net(some).argmax(1) == wanted).sum()) for some, wanted in parts)
    return right / len(labels)


def train(folder: Path, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    (images, labels), val = load(folder, "train"), load(folder, "val")
    net = network().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=PEAK_RATE, fused=True)
    num_steps = math.ceil(len(labels) / BATCH) * EPOCHS
    step = 0
    for epoch in range(EPOCHS):
        net.train()
        for index in torch.randperm(len(labels)).split(BATCH):
            optimizer.param_groups[0]["lr"] = PEAK_RATE * factor(step, num_steps)
            loss = functional.cross_entropy(net(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        print(f"epoch {epoch + 1}: {accuracy(net, *val):.4f}", flush=True)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--test", action="store_true")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    file = f"bare_{asked.seed}.pt"
    if not asked.test:
        torch.save(train(asked.folder, asked.seed).state_dict(), file)
        return
    net = network()
    net.load_state_dict(torch.load(file))
    print(accuracy(net, *load(asked.folder, "test")))


if __name__ == "__main__":
    main()
