"""What is planted: pairs of a data set and a network, faults at three severities, healthy runs.

The parts are split by data *and* network: the model is fitted on `FITTED`, and `locked` judges it
once; no data set and no kind of network of the one is in the other. The parts `spent`, `unseen` and
`sealed` judged earlier models, so nothing can be proved with them any more; `more` was added with
`spent`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from stacked import Settings


@dataclass(frozen=True)
class Pair:
    """A data set with a network. draws: how many variants of each planted case.

    epochs: that it takes to converge with its own settings and ``num_train`` examples.
    """

    data: str
    net: str
    width: int
    rate: float
    num_train: int
    epochs: int
    depth: int = 2
    draws: int = 1
    severities: tuple[int, ...] = (0, 1, 2)


TUNE = (
    Pair("mnist", "mlp", 64, 2e-3, 2000, 10),
    Pair("mnist", "cnn", 6, 3e-3, 600, 12),
    Pair("mnist", "gru", 24, 5e-3, 900, 12),
    Pair("digits", "mlp", 48, 2e-3, 1000, 12, draws=2),
    Pair("digits", "cnn", 6, 3e-3, 600, 10),
    Pair("digits", "rnn", 24, 3e-3, 1000, 12),
    Pair("digits_rare", "mlp", 32, 2e-3, 1000, 14),
    Pair("coloured_digits", "cnn", 6, 3e-3, 700, 12),
    Pair("cancer", "mlp", 24, 2e-3, 320, 25),
    Pair("clusters", "mlp", 48, 2e-3, 2000, 10, draws=2),
    Pair("rings", "mlp", 32, 4e-3, 1500, 14),
    Pair("friedman", "mlp", 32, 3e-3, 1500, 12),
    Pair("prose", "mlp", 48, 2e-3, 3000, 6, depth=1),
    Pair("prose", "gru", 32, 4e-3, 2000, 6),
)
SPENT = (
    Pair("fashion", "residual", 6, 4e-3, 600, 12),
    Pair("fashion", "transformer", 16, 4e-3, 700, 12, depth=1),
    Pair("fashion", "lstm", 24, 5e-3, 900, 12),
    Pair("photographs", "residual", 6, 4e-3, 700, 12),
    Pair("code", "lstm", 32, 5e-3, 2000, 6),
    Pair("blobs", "residual", 32, 2e-3, 2000, 8, draws=2),
    Pair("wine", "residual", 24, 2e-3, 110, 25, draws=2),
    Pair("diabetes", "residual", 16, 1e-3, 290, 14),
)
# The file holds the cases of it that were trained when it was made.
MORE = (
    Pair("fashion", "cnn", 6, 3e-3, 600, 12),
    Pair("fashion", "mlp", 48, 2e-3, 1500, 10),
    Pair("photographs", "cnn", 6, 3e-3, 700, 12),
    Pair("mnist_noisy", "mlp", 48, 1.5e-3, 2000, 8),
    Pair("mnist_noisy", "cnn", 6, 3e-3, 700, 10),
    Pair("shapes", "cnn", 6, 3e-3, 700, 12),
    Pair("shapes", "residual", 6, 4e-3, 600, 12),
    Pair("shapes", "mlp", 64, 1.5e-3, 2000, 12),
    Pair("stripes", "mlp", 48, 2e-3, 2000, 10),
    Pair("stripes", "lstm", 24, 5e-3, 1000, 14),
    Pair("coloured_digits", "residual", 6, 4e-3, 600, 12),
    Pair("digits", "transformer", 16, 4e-3, 1000, 14, depth=1),
    Pair("iris", "mlp", 16, 5e-3, 80, 40),
    Pair("hastie", "mlp", 48, 3e-3, 2000, 14),
    Pair("hastie", "residual", 24, 2e-3, 1500, 10),
    Pair("board", "mlp", 48, 4e-3, 2000, 16),
    Pair("teacher", "mlp", 48, 2e-3, 2000, 12),
    Pair("teacher", "residual", 24, 2e-3, 1500, 8),
    Pair("plane", "mlp", 16, 2e-3, 1500, 8),
    Pair("circuits", "mlp", 32, 3e-3, 1500, 14),
    Pair("blobs", "mlp", 48, 1.5e-3, 2000, 8),
    Pair("wine", "mlp", 24, 3e-3, 110, 25),
    Pair("code", "gru", 32, 4e-3, 2000, 6),
    Pair("law", "mlp", 48, 2e-3, 2500, 6, depth=1),
    Pair("law", "transformer", 16, 5e-3, 2000, 6, depth=1),
)
UNSURE = (
    Pair("digits_unsure", "cnn", 6, 2e-3, 700, 10),
    Pair("blobs_unsure", "residual", 24, 2e-3, 1500, 6),
    Pair("hastie_unsure", "mlp", 32, 2e-3, 2000, 8),
    Pair("cancer_unsure", "mlp", 16, 2e-3, 320, 16),
    Pair("teacher_unsure", "mlp", 32, 2e-3, 2000, 8),
    Pair("mnist_unsure", "mlp", 48, 1.5e-3, 2000, 8),
    Pair("clusters_unsure", "mlp", 32, 2e-3, 2000, 8),
    Pair("friedman_unsure", "mlp", 24, 2e-3, 1500, 8),
)
UNSEEN = (
    Pair("letters", "mixer", 16, 3e-3, 1500, 14, depth=1),
    Pair("letters", "separable", 6, 5e-3, 1000, 16),
    Pair("letters", "temporal", 32, 3e-3, 1500, 14, depth=3),
    Pair("colour_letters", "separable", 8, 5e-3, 1000, 16),
    Pair("words", "temporal", 32, 4e-3, 2500, 10, depth=4),
    Pair("affairs", "gated", 24, 3e-3, 2000, 8),
    Pair("votes", "gated", 16, 3e-3, 600, 12),
    Pair("diamonds", "gated", 24, 3e-3, 1500, 12),
)
# Small, so that one core trains all of it in half an hour.
SEALED = (
    Pair("splice", "conv1d", 8, 6e-3, 600, 14, severities=(0, 2)),
    Pair("tones", "conv1d", 8, 6e-3, 600, 14, severities=(0, 2)),
    Pair("speakers", "statespace", 16, 4e-3, 400, 14, depth=1, severities=(0, 2)),
    Pair("grammar", "statespace", 16, 6e-3, 700, 12, depth=1, severities=(0, 2)),
    Pair("textures", "dense", 6, 6e-3, 500, 14, severities=(0, 2)),
    Pair("computers", "dense", 16, 3e-3, 700, 12, severities=(0, 2)),
    Pair("satellite", "maxout", 24, 3e-3, 800, 12, severities=(0, 2)),
    Pair("turnout", "maxout", 8, 1.5e-3, 800, 6, severities=(0, 2)),
)
LOCKED = (
    Pair("clouds", "setnet", 16, 1.2e-2, 800, 18, severities=(0, 2)),
    Pair("formats", "setnet", 16, 8e-3, 600, 12, severities=(0, 2)),
    Pair("graphs", "graph", 16, 1e-2, 700, 14, severities=(0, 2)),
    Pair("shuttle", "experts", 12, 8e-3, 700, 14, severities=(0, 2)),
    Pair("households", "experts", 12, 6e-3, 800, 8, severities=(0, 2)),
    Pair("emissions", "splines", 12, 3e-3, 800, 10, severities=(0, 2)),
    Pair("dice", "local", 4, 4e-3, 700, 14, severities=(0, 2)),
    Pair("portrait", "sine", 24, 6e-3, 800, 14, severities=(0, 2)),
)
PARTS = {
    "tune": TUNE, "spent": SPENT, "more": MORE, "unsure": UNSURE, "unseen": UNSEEN,
    "sealed": SEALED, "locked": LOCKED,
}  # fmt: skip
FITTED = ("tune", "spent", "more", "unsure", "unseen")
SEEDS = {
    "tune": range(5), "spent": range(500, 505), "more": range(5), "unsure": range(5),
    "unseen": range(900, 905), "sealed": range(1000, 1003), "locked": range(1100, 1103),
}  # fmt: skip
NUM_HEALTHY = 12  # a draw
MAX_EPOCHS = 300
# Faults that curves cannot tell from another one → that one.
SHOWN_AS = {
    "over_regularized": "underfitting",
    "dead_units": "not_learning",
    "vanishing_gradients": "not_learning",
    "exploding_gradients": "learning_rate_too_high",
}


@dataclass(frozen=True)
class Case:
    """Settings that are trained with every seed of a part.

    planted: the fault, or healthy.  remedies: settings that should mend it.
    patience: the log ends so many epochs after its lowest validation loss; 0 for its whole length.
    """

    part: str
    name: str
    planted: str
    settings: Settings
    remedies: tuple[Settings, ...]
    patience: int = 0


SEQUENTIAL = ("rnn", "gru", "lstm", "transformer", "statespace")
FACTOR = {"adam": 1.0, "adamw": 1.0, "rmsprop": 0.4, "momentum": 12.0, "sgd": 60.0}


def base(pair: Pair, dice: random.Random) -> Settings:
    """Settings in which nothing is wrong, with everything drawn that should not matter."""
    optimizer = dice.choice(("adam", "adam", "adamw", "rmsprop", "momentum", "sgd"))
    sequential = pair.net in SEQUENTIAL
    batch = dice.choice((32, 32, 64)) if pair.num_train > 200 else dice.choice((8, 16))
    rate = pair.rate * FACTOR[optimizer] * dice.choice((0.6, 1.0, 1.4)) * (batch / 32) ** 0.5
    return Settings(
        data=pair.data,
        net=pair.net,
        width=pair.width,
        depth=pair.depth,
        activation="gelu" if pair.net == "transformer" else dice.choice(("relu", "relu", "tanh")),
        optimizer=optimizer,
        rate=rate,
        schedule=dice.choice(("constant", "constant", "cosine", "steps", "onecycle", "warmup")),
        epochs=pair.epochs,
        batch=batch,
        num_train=pair.num_train,
        dropout=dice.choice((0.0, 0.1, 0.2, 0.3)),
        l2=0.01 if optimizer == "adamw" else 0.0,
        clip=1.0 if sequential or optimizer in ("sgd", "momentum") else 0.0,
        num_val=dice.choice((60, 150, 300, 300)),
    )


Planted = Iterator[tuple[str, Settings, tuple[Settings, ...]]]


def faults(pair: Pair, sound: Settings, dice: random.Random, severity: int) -> Planted:
    """Each fault at a severity from 0 to 2, planted into sound settings, with its remedies."""
    plain = replace(sound, schedule=dice.choice(("constant", "constant", "cosine", "steps")))
    yield _overfitting(pair, plain, severity)
    yield _undertrained(pair, sound, dice, severity)
    width = max(1, (3, 2, 1)[severity] + (pair.net in SEQUENTIAL))
    if pair.net == "transformer":
        width = 2  # two heads
    narrow = replace(sound, width=width, dropout=0.0, epochs=2 * sound.epochs)
    yield "underfitting", narrow, (replace(narrow, width=sound.width),)
    yield _over_regularized(pair, sound, severity)
    factor = (8, 25, 100)[severity]
    high = replace(sound, rate=sound.rate * factor, clip=0.0)
    yield "learning_rate_too_high", high, (sound,)
    low = replace(sound, rate=sound.rate / (30, 100, 1000)[severity])
    yield "learning_rate_too_low", low, (replace(sound, schedule="constant"),)
    noise = replace(plain, label_noise=(0.25, 0.35, 0.5)[severity], epochs=2 * plain.epochs)
    yield "label_noise", noise, (replace(noise, label_noise=0.0),)
    yield "not_learning", replace(sound, label_noise=1.0), (sound,)
    if pair.net in ("mlp", "cnn", "conv1d", "setnet", "graph", "experts", "local"):
        dead = replace(sound, activation="relu", bias=(-2.0, -4.0, -8.0)[severity])
        yield "dead_units", dead, (replace(dead, bias=0.0),)
    if pair.net == "mlp":
        deep = replace(sound, depth=(6, 8, 10)[severity], activation="sigmoid", gain=0.7)
        yield "vanishing_gradients", deep, (sound,)
    if pair.net in ("mlp", "cnn", "rnn", "conv1d", "maxout", *(p.net for p in LOCKED)):
        wild = replace(sound, gain=(3.0, 5.0, 10.0)[severity])
        yield "exploding_gradients", wild, (replace(wild, gain=1.0),)
    yield _shaken(sound, dice, severity)


def _shaken(
    sound: Settings, dice: random.Random, severity: int
) -> tuple[str, Settings, tuple[Settings, ...]]:
    """A rate too high that never falls: the loss stays shaken."""
    right = replace(sound, schedule="constant", clip=0.0)
    shaken = replace(right, rate=sound.rate * (4, 12, 40)[severity] * dice.choice((0.8, 1.2)))
    return "learning_rate_too_high", shaken, (right, replace(right, schedule="cosine"))


def _overfitting(
    pair: Pair, sound: Settings, severity: int
) -> tuple[str, Settings, tuple[Settings, ...]]:
    share, times = ((0.5, 3), (0.2, 4), (0.07, 7))[severity]
    fewer = max(24, int(share * pair.num_train))
    epochs = min(MAX_EPOCHS, round(times * pair.epochs / max(share, 0.2) ** 0.5))
    over = replace(
        sound, num_train=fewer, dropout=0.0, l2=0.0, width=2 * sound.width, epochs=epochs,
        batch=min(sound.batch, 32),
    )  # fmt: skip
    dropped = replace(over, dropout=0.5)
    return "overfitting", over, (dropped, replace(sound, num_train=pair.num_train, dropout=0.2))


def _undertrained(
    pair: Pair, sound: Settings, dice: random.Random, severity: int
) -> tuple[str, Settings, tuple[Settings, ...]]:
    epochs = max(3, round(pair.epochs * (0.5, 0.35, 0.2)[severity]))
    slower = sound.rate / dice.choice((2, 4))
    short = replace(sound, epochs=epochs, rate=slower, schedule=dice.choice(("constant", "warmup")))
    return "undertrained", short, (replace(short, epochs=4 * epochs),)


def _over_regularized(
    pair: Pair, sound: Settings, severity: int
) -> tuple[str, Settings, tuple[Settings, ...]]:
    free = replace(sound, dropout=0.0, l2=0.0)
    if severity == 1:
        heavy = replace(free, dropout=0.9 if pair.net == "mlp" else 0.95)
    else:
        heavy = replace(free, optimizer="adam", l2=(0.004, 0.0, 0.03)[severity],
                        rate=pair.rate)  # fmt: skip
        free = replace(heavy, l2=0.0)
    return "over_regularized", heavy, (free, replace(free, dropout=0.1))


def healthy(pair: Pair, dice: random.Random) -> tuple[Settings, int, tuple[Settings, ...]]:
    """Sound settings, trained until nothing is left to gain: settings, patience, longer ones.

    At a constant rate the log ends some epochs after its lowest validation loss, as with early
    stopping, and the rest of the run shows whether it would have gone on. A schedule that ends low
    is run for twice the epochs too.
    """
    sound = replace(base(pair, dice), dropout=dice.choice((0.0, 0.1, 0.2, 0.3, 0.4)))
    if sound.schedule in ("constant", "warmup"):
        return replace(sound, epochs=min(MAX_EPOCHS, 5 * pair.epochs)), dice.choice((3, 5, 8)), ()
    sound = replace(sound, epochs=pair.epochs * dice.choice((2, 3, 4)))
    return sound, 0, (replace(sound, epochs=2 * sound.epochs),)


def cases(part: str) -> Iterator[Case]:
    """Every case of a part, pair by pair."""
    for pair in PARTS[part]:
        for draw in range(pair.draws):
            yield from _of_pair(part, pair, draw)


def _of_pair(part: str, pair: Pair, draw: int) -> Iterator[Case]:
    label = f"{pair.data}-{pair.net}-{draw}"
    for severity in pair.severities:
        dice = random.Random(f"{label} {severity}")
        planted_before: set[str] = set()
        for planted, settings, remedies in faults(pair, base(pair, dice), dice, severity):
            again = "-shaken" if planted in planted_before else ""
            planted_before.add(planted)
            name = f"{label}-{planted}{again}-{severity}"
            yield Case(part, name, planted, settings, remedies)
    for number in range(NUM_HEALTHY):
        dice = random.Random(f"{label} sound {number}")
        sound, patience, longer = healthy(pair, dice)
        yield Case(part, f"{label}-healthy-{number}", "healthy", sound, longer, patience)
