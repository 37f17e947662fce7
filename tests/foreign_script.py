"""Training scripts of somebody else, and the command line that verifies them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli

# Its loss depends on the seed (0.1), on the pair of seed and dropout (0.02), and on the gain. It
# notes each start in starts.txt, as a run that is repeated would show there.
SCRIPT = """\
import random, sys
words = [part for word in sys.argv[1:] for part in word.split("=", word.startswith("--"))]
values = dict(zip(words[::2], words[1::2]))
seed, dropout = int(values["--seed"]), float(values["--dropout"])
with open("starts.txt", "a") as file:
    file.write(f"{dropout} {seed}\\n")
noise = random.Random(seed).gauss(0, 0.1)
own = random.Random(f"{seed} {dropout}").gauss(0, 0.02)
loss = 2.718281828 ** (noise + own - GAIN * dropout)
ENDING
"""
PRINTS = 'print(f"epoch 3: val_loss={loss:.6f}")'
COMMAND = f"cmd={sys.executable} train.py --dropout {{dropout}} --seed {{seed}}"
REMEDIES = "remedies={dropout:[0.0,0.3]}"
ASKED = (COMMAND, "metric=val_loss", REMEDIES)


def write_script(folder: Path, *, gain: float = 1.0, ending: str = PRINTS) -> None:
    text = SCRIPT.replace("GAIN", str(gain)).replace("ENDING", ending)
    (folder / "train.py").write_text(text)


def starts(folder: Path) -> list[str]:
    """Dropout and seed of every run that was started, in their order."""
    path = folder / "starts.txt"
    return path.read_text().splitlines() if path.exists() else []


def verified(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Exit code and proof of a command line, typed in the working directory."""
    code = cli.call("verify", [*ASKED, *words, "output=json"])
    proof: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, proof


# A logistic regression on 60 examples with 40 features, of which two matter: without L2 it
# overfits.
TRAINING = """\
import sys
import numpy as np

values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
draw, l2 = np.random.default_rng(int(values["--seed"])), float(values["--l2"])
features = draw.normal(size=(560, 40))
labels = (features[:, 0] + features[:, 1] + 0.5 * draw.normal(size=560) > 0).astype(float)
weights = 0.01 * draw.normal(size=40)
for _ in range(2000):
    chance = 1 / (1 + np.exp(-features[:60] @ weights))
    weights -= 0.5 * (features[:60].T @ (chance - labels[:60]) / 60 + l2 * weights)
chance = np.clip(1 / (1 + np.exp(-features[60:] @ weights)), 1e-9, 1 - 1e-9)
print("val_loss:", -np.mean(np.where(labels[60:] == 1, np.log(chance), np.log(1 - chance))))
"""
