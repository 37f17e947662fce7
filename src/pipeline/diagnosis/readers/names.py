"""Which curve a name stands for. Case, order and the signs between the words do not matter.

A name is read word by word: ``epoch_train_loss``, ``Loss/train``, ``trainLoss`` and ``Avg. training
loss`` are all the training loss. A word that is not known here makes a name another metric:
``train_box_loss``, ``val_top5``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

# The curves that an option of `pipeline diagnose` can name.
TRAIN_LOSS, VAL_LOSS = "train/loss", "val/loss"
TRAIN_ACCURACY, VAL_ACCURACY = "train/accuracy", "val/accuracy"
LEARNING_RATE = "learning_rate"
WORDS_OF = {
    TRAIN_LOSS: "training loss",
    VAL_LOSS: "validation loss",
    TRAIN_ACCURACY: "training accuracy",
    VAL_ACCURACY: "validation accuracy",
    LEARNING_RATE: "learning rate",
    "train/cross_entropy": "training cross-entropy",
    "val/cross_entropy": "validation cross-entropy",
    "train/objective": "training objective",
}

# Names of our own histories; they stand for themselves only.
OURS = ("train/cross_entropy", "val/cross_entropy", "train/objective")

_TRAIN = {"train", "training", "tr", "trn", "learn", "trainset"}
# The lower number is preferred: a test part is validation only where there is no other.
_VAL = {
    **dict.fromkeys(("val", "valid", "validation", "vali"), 0.0),
    **dict.fromkeys(("eval", "evaluation"), 1.0),
    **dict.fromkeys(("dev", "holdout", "heldout"), 2.0),
    **dict.fromkeys(("test", "testing"), 3.0),
}
_LOSS = {
    **dict.fromkeys(("loss", "losses"), 0.0),
    **dict.fromkeys(("crossentropy", "nll", "xent", "bce", "cost"), 0.3),
    **dict.fromkeys(("mlogloss", "logloss"), 20.0),
    **dict.fromkeys(("rmse", "mse", "mae", "l1", "l2", "deviance"), 25.0),
}
_ACCURACY = {
    **dict.fromkeys(("accuracy", "acc", "accuracies", "accs"), 0.0),
    **dict.fromkeys(("acc1", "top1", "prec1"), 0.1),
}
_ERROR = {"merror", "errorrate"}
_STEP = {"step", "steps", "batch", "iter", "iteration", "minibatch"}
_NOISE = {
    *("epoch", "epochs", "avg", "average", "mean", "list", "history", "curve", "hist", "log"),
    *("set", "values", "running", "metrics", "metric", "total", "overall", "per", "pct", "percent"),
}
_NOISE_OF_ACCURACY = {"sparse", "categorical", "binary", "top", "1", "multiclass"}
_NOISE_OF_RATE = {
    *("train", "adam", "adamw", "sgd", "rmsprop", "adagrad", "pg0", "group", "group0", "0", "base"),
    *("current", "epoch", "step", "opt", "optimizer", "param"),
}
_PHRASES = (
    ("cross entropy", "crossentropy"),
    ("root mean squared error", "rmse"),
    ("mean squared error", "mse"),
    ("mean absolute error", "mae"),
    ("learning rate", "lr"),
    ("learningrate", "lr"),
    ("held out", "heldout"),
    ("error rate", "errorrate"),
    ("multi error", "merror"),
    ("binary error", "merror"),
    ("multi logloss", "mlogloss"),
    ("binary logloss", "logloss"),
    ("train set", "train"),
    ("validation scores", "validation accuracy"),
    ("validation score", "validation accuracy"),
)
_GLUED = re.compile(
    r"^(train|training|tr|val|valid|validation|test|eval|dev|t|v)(loss|acc|accuracy)$"
)
_SHORT = {"t": "train", "v": "val"}
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_WORD = re.compile(r"[^a-z0-9]+")

EPOCH = frozenset({"epoch", "epochs", "ep", "currentepoch", "epochnum", "epochnumber"})
STEP = frozenset(
    {
        *("step", "steps", "globalstep", "iter", "iteration", "iterations", "iters", "round"),
        *("trainerglobalstep", "trainglobalstep", "batchstep", "boostinground"),
    }
)


@dataclass(frozen=True)
class Role:
    """What a name stands for.

    rank: of two names for one curve the one with the lower rank is taken.
    complement: the name is of an error rate, and the curve is 1 minus it.
    """

    curve: str
    rank: float = 0.0
    complement: bool = False


def plain(name: str) -> str:
    """Return a name without case, spaces and separators."""
    return "".join(c for c in name.strip().lower() if c.isalnum())


@lru_cache(maxsize=4096)
def is_axis(name: str) -> bool:
    """Whether a name is that of epochs or steps."""
    return plain(name) in EPOCH or plain(name) in STEP


def is_known(name: str) -> bool:
    """Whether a name is that of a curve."""
    return role_of(name) is not None


@lru_cache(maxsize=4096)
def role_of(name: str) -> Role | None:
    """Return what a name stands for, by its words; None for any other metric."""
    if len(name) > 200:
        return None
    if name in OURS:
        return Role(name)
    words = _words(name)
    if "lr" in words or "lr0" in words:
        rest = set(words) - {"lr", "lr0", "x"}
        return Role(LEARNING_RATE, 0.1 * len(rest)) if rest <= _NOISE_OF_RATE else None
    return _of_words(words)


def _of_words(words: list[str]) -> Role | None:
    left = set(words)
    in_train, in_val = left & _TRAIN, left & set(_VAL)
    if in_train and in_val:
        return None
    rank = min(_VAL[word] for word in in_val) if in_val else 0.0 if in_train else 2.0
    rank += 5.0 * bool(left & _STEP) + 0.1 * len(left & _NOISE - {"epoch"})
    left -= in_train | in_val | _STEP | _NOISE
    part = "val" if in_val else "train"
    if left and left <= set(_LOSS):
        return Role(f"{part}/loss", rank + max(_LOSS[word] for word in left))
    if left and left <= _ERROR:
        return Role(f"{part}/accuracy", rank + 20.0, complement=True)
    quantity = left & set(_ACCURACY)
    if quantity and left - quantity <= _NOISE_OF_ACCURACY:
        dressed = 0.1 * len(left - quantity)
        return Role(f"{part}/accuracy", rank + max(_ACCURACY[word] for word in quantity) + dressed)
    return None


def _words(name: str) -> list[str]:
    text = " ".join(_NO_WORD.sub(" ", _CAMEL.sub(" ", name.strip()).lower()).split())
    for phrase, word in _PHRASES:
        if phrase in text:
            text = text.replace(phrase, word)
    words: list[str] = []
    for word in text.split():
        glued = _GLUED.match(word)
        words += [_SHORT.get(glued[1], glued[1]), glued[2]] if glued else [word]
    return words


def part_of(word: str) -> str | None:
    """Return train or val for a word that names a part of the data."""
    word = word.strip().lower()
    if word in _TRAIN:
        return "train"
    return "val" if word in _VAL else None


@lru_cache(maxsize=4096)
def has_part(name: str) -> str | None:
    """Return train or val where a word of a name says so."""
    return next((part for word in _words(name) if (part := part_of(word))), None)


def matched(sizes: Mapping[str, int]) -> dict[str, str]:
    """Return curve → the name that stands for it, of names with their number of points.

    A name of one point gives way to one of several: at the end of training, some tools log one mean
    of everything.
    """
    best: dict[str, tuple[bool, float, str]] = {}
    for name, size in sizes.items():
        role = role_of(name)
        if role is None:
            continue
        key = (size < 2, role.rank, name)
        if role.curve not in best or key[:2] < best[role.curve][:2]:
            best[role.curve] = key
    return {curve: name for curve, (_, _, name) in best.items()}
